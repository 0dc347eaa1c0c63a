"""Faults in what is kept: artifacts, checkpoints, temporary files, weights from elsewhere."""

from tests.mutations.mutation import Mutation

DAMAGE, RESUME, REPLACING, WEIGHTS = (f"tests/test_{name}.py" for name in ("damage", "resume", "replacing", "weights"))
STORAGE, DESCRIPTION = "regen_lib/core/storage.py", "regen_lib/training/description.py"
TYPED = "tests/test_resume_typed.py"
ANEW = (f"{RESUME}::test_a_training_that_differs_in_anything_starts_anew",)
SEALED = (f"{DAMAGE}::test_a_change_that_a_hash_covers_is_refused_all_the_same",)

MUTATIONS = (
    Mutation(
        "an artifact's hash is not compared",
        STORAGE,
        'if found["sha256"] != checksum(path):',
        "if False:",
        (f"{DAMAGE}::test_one_flipped_bit_anywhere",),
    ),
    Mutation(
        "the hash leaves out the header",
        STORAGE,
        "hashlib.sha256(header[:place] + header[place + len(UNSEALED) :])",
        "hashlib.sha256()",
        (f"{DAMAGE}::test_one_flipped_bit_anywhere",),
    ),
    Mutation(
        "tensors of another type are converted",
        STORAGE,
        "if (tensor.shape, tensor.dtype) != (place.shape, place.dtype):",
        "if tensor.shape != place.shape:",
        SEALED,
    ),
    Mutation(
        "a large file that was replaced is believed unread",
        STORAGE,
        "state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns",
        "0",
        (f"{DAMAGE}::test_a_large_file_is_hashed_once_a_process",),
    ),
    Mutation(
        "a training goes on with other labels and pixels",
        "regen_lib/training/loop.py",
        '"images": images,',
        '"images": len(images),',
        ANEW,
    ),
    Mutation(
        "a function's numbers do not count",
        DESCRIPTION,
        "self.all(value.co_code, value.co_names, value.co_consts)",
        "self.all(value.co_code)",
        ANEW,
    ),
    Mutation(
        "globals of a file do not count",
        DESCRIPTION,
        "[looked_up(function), vars(function)]",
        "[vars(function)]",
        (f"{TYPED}::test_what_a_file_takes_from_outside_counts",),
    ),
    Mutation(
        "special methods do not count", DESCRIPTION, "isinstance(each, METHODS)}", "0}", (f"{TYPED}::test_what_is_in_no_file_counts",)
    ),
    Mutation("hooks do not count", DESCRIPTION, "attributes, *hooks(module))]", "attributes)]", (f"{TYPED}::test_hooks_count",)),
    Mutation(
        "what is piped has a file",
        "regen_lib/training/written.py",
        "isinstance(file, str) and Path(file).is_file()",
        "isinstance(file, str)",
        (f"{TYPED}::test_what_is_in_no_file_counts",),
    ),
    Mutation(
        "a kept NaN is taken up",
        "regen_lib/training/checkpoint.py",
        "        check_finite(tensors)\n",
        "        pass\n",
        (f"{RESUME}::test_a_spoilt_epoch_is_thrown_away",),
    ),
    Mutation(
        "a living writer's file is removed",
        "regen_lib/core/replacing.py",
        "fcntl.flock(file, fcntl.LOCK_EX)",
        "pass",
        (f"{REPLACING}::test_what_a_killed_writer_left_goes_with_the_next_write",),
    ),
    Mutation(
        "a cut table is a table",
        "regen_lib/study/table_file.py",
        'if not data.endswith(b"\\n"):',
        "if False:",
        ("tests/test_table_file.py::test_a_damaged_table_is_named",),
    ),
    Mutation(
        "a table is not compared with its lock",
        "regen_lib/study/lock.py",
        "!= known[path]",
        "== None",
        ("tests/test_seeds.py::test_a_cut_table_is_not_gathered",),
    ),
    Mutation(
        "auxiliary heads count",
        "regen_lib/weights/_names.py",
        '("aux", "loss1/", "loss2/")',
        '("aux", "loss1/")',
        (f"{WEIGHTS}::test_googlenet_without_its_auxiliary_heads",),
    ),
    Mutation(
        "numbers that lie on each other are read",
        "regen_lib/weights/__init__.py",
        "if size > 1 and stride < reach:",
        "if size > 1 and not stride:",
        (f"{WEIGHTS}::test_numbers_that_lie_on_each_other_are_refused",),
    ),
    Mutation(
        "arrays of MATLAB 7.3 keep their axes",
        "regen_lib/weights/matconvnet.py",
        "(file.numbers(array).T for array in pair)",
        "(file.numbers(array) for array in pair)",
        (f"{WEIGHTS}::test_matconvnet",),
    ),
)
