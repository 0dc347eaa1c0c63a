"""Faults in where images come from and in what a training sees of them."""

from tests.mutations.mutation import Mutation

MUTATIONS = (
    Mutation(
        "a crop looks half as far",
        "regen_lib/training/crops.py",
        "2 * padding + 1",
        "padding + 1",
        ("tests/test_crops.py::test_every_place_is_as_likely",),
    ),
    Mutation(
        "each process draws crops for its share alone",
        "regen_lib/training/crops.py",
        "len(x) * processes.world()",
        "len(x)",
        ("tests/test_crops.py::test_two_processes_cut_what_one_cuts",),
    ),
    Mutation(
        "CIFAR-10's red and blue are exchanged",
        "regen_lib/data/cifar10.py",
        "reshape(-1, *SHAPE)",
        "reshape(-1, *SHAPE).flip(1)",
        ("tests/test_cifar10.py::test_splits_are_the_archives_records",),
    ),
    Mutation(
        "any archive passes for CIFAR-10",
        "regen_lib/data/cifar10.py",
        "found != SHA256",
        "not found",
        ("tests/test_cifar10.py::test_what_is_not_the_published_archive",),
    ),
)
