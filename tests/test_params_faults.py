"""Parameter files with a mistake each are refused, in one message that says what to do; what is no mistake passes."""

import time
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml

from regen_lib.core.errors import StudyError
from regen_lib.study.params import load_params
from regen_lib.study.reading import read_yaml
from regen_lib.study.schema import Params
from tests.faults.parameter_values import BANK, SET, TABLE, TABLES
from tests.faults.parameters import Mutation, at, mutations, put
from tests.repository import REPOSITORY

SHARE = {"structure": 100, "harmless": 100, "fact": 60}  # how many of a kind; of others ``OTHERS``
OTHERS = 25
LONGEST = 600  # letters of a message
SECONDS = 5.0  # of CPU time, of a check; a bomb would take minutes


def share(seed: int = 0) -> list[Mutation]:
    """A part of each kind, the same on every run."""
    by_kind = groupby(sorted(mutations(seed), key=lambda mutation: mutation.kind), lambda mutation: mutation.kind)
    return [mutation for kind, found in by_kind for mutation in list(found)[: SHARE.get(kind, OTHERS)]]


def write(folder: Path, mutation: Mutation) -> Path:
    text = mutation.make()
    path = folder / "params.yaml"
    (folder / "notebooks").mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(path: Path) -> str:
    """What the check says of a file; nothing where it passes."""
    try:
        load_params(path, deep=True)
    except StudyError as error:
        return str(error).replace(str(path), path.name)
    return ""


@pytest.mark.parametrize("kind", ["type", "range", "name", "reference", "structure", "fact"])
def test_a_mistake_is_refused_in_a_few_words(tmp_path: Path, kind: str) -> None:
    for mutation in share():
        if mutation.kind == kind:
            path = write(tmp_path, mutation)
            begun = time.process_time()
            said = refusal(path)
            assert time.process_time() - begun < SECONDS, mutation.name
            assert said, f"passed: {mutation.name}"
            assert mutation.named(said), f"{mutation.name}: {said}"
            if mutation.single:
                assert len(said.splitlines()) <= 2, f"{mutation.name}: {said}"
                assert len(said) < LONGEST, f"{mutation.name}: {said}"


def test_what_is_no_mistake_passes(tmp_path: Path) -> None:
    for mutation in share():
        if mutation.kind == "harmless":
            load_params(write(tmp_path, mutation), deep=True)


@pytest.mark.parametrize(
    "key", ["study.threads", "study.source", "run.launcher", "run.processes", "images.raw", "networks.caffenet.recipe"]
)
def test_what_only_the_machine_could_judge_has_bounds_too(tmp_path: Path, key: str) -> None:
    """Folders that are the study's own or outside it, commands that are none, numbers that float32 rounds to 0 or infinity."""
    found = [mutation for mutation in mutations() if mutation.kind == "fact" and mutation.name.startswith(f"{key} = ")]
    assert len(found) > 1
    for mutation in found:
        assert key in refusal(write(tmp_path, mutation)), mutation.name


@pytest.mark.parametrize("key", TABLES)
def test_what_tables_could_not_show_is_one_mistake(tmp_path: Path, key: str) -> None:
    for value in TABLES[key]:
        said = refusal(write(tmp_path, Mutation("fact", key, put(at(key), value))))
        assert len(said.splitlines()) == 2, f"{value}: {said}"
        assert len(said) < LONGEST, said


HARDENING = {"attack": "spgd", "split": "train", "count": 2, "images": 200, "passes": 1, "batch": 50, "step": 0.1}
REAL = {"one": TABLE, "another": TABLE}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("ablation.choices.he.recipe", {"images": 60_000}, "ablation.choices.he.recipe.images: train has 50000 images: ask for at most"),
        ("ablation.choices.he.images", 500, "ablation.choices.he.images: its recipe takes 3000: give as many, or it fewer (found 500)"),
        ("ablation.variants.twin", SET, "ablation.variants.twin: is the same point of Fig. S2 as units6: move one of them to"),
        ("masking.layers", 7, "masking.layers: units names at most 6 layers of a network: give no more (found 7)"),
        ("uaps.classes", 11, "uaps.classes: the network has 10: give no more (found 11)"),
        (
            "networks.googlenet.options",
            {"modules": ["3a", "3a"]},
            "networks.googlenet.options: cannot be built for images of (1, 28, 28): mod",
        ),
        ("examples.layer", "conv5_3", "examples.layer: has no unit to be shown: choose from conv1_1, conv1_2, conv2_1, conv3_1, conv4_1,"),
        ("ablation.variants.ours", SET, "ablation.variants.ours: the study has a defence of that name: rename these units (found 'ours')"),
        ("ablation.choices.undefended", SET, "ablation.choices.undefended: the study has a defence of that name: rename these units"),
        ("ablation.choices.units6", SET, "ablation.choices.units6: ablation.variants has units of that name too: rename one of them"),
        ("uaps.banks.mean_unseen", BANK, "uaps.banks.mean_unseen: tables and figures call something else so: rename the bank"),
        ("unseen.mean_all", {"attack": "gap", **BANK}, "unseen.mean_all: tables and figures call something else so: rename the bank"),
        (
            "secondary.training.attacks.loss",
            HARDENING,
            "secondary.training.attacks.loss: the table of rounds has another column of that name",
        ),
        (
            "ablation.variants.units6.units",
            9,
            "ablation.variants.units6.units: units names at most 6 layers for vgg16: give no more, or name",
        ),
        (
            "ablation.choices.he.layers",
            ["conv1_1"],
            "ablation.choices.he.units: its layers are 1: give no more, or name more there (found 6)",
        ),
        (
            "training.variants.ours.units",
            9,
            "training.variants.ours.units: units names at most 6 layers for caffenet, vgg_f, googlenet, vgg16,",
        ),
        (
            "networks.vgg16.recipe.crop",
            28,
            "networks.vgg16.recipe.crop: images of 28 x 28 are padded by their reflection: give less than 28",
        ),
        (
            "ablation.choices.drops.recipe",
            {"crop": 40},
            "ablation.choices.drops.recipe.crop: images of 28 x 28 are padded by their",
        ),
        (
            "training.stream",
            True,
            "training.stream: fashion_mnist is no folder of images, which could be streamed: give false (found True)",
        ),
        (
            "generalization.attacks",
            ["uap"],
            "generalization.attacks.0: means are over attacks that no defence met, without the control: name",
        ),
        (
            "generalization.attacks",
            ["gap", "random_signs"],
            "generalization.attacks.1: means are over attacks that no defence met, without the",
        ),
        (
            "generalization.attacks",
            ["uap_smaller", "gap", "nag"],
            "generalization.attacks.0: has another norm or xi than the others, and means",
        ),
        ("generalization.control", "random_l2", "generalization.control: tables and report take random_signs for the control: give that"),
        (
            "generalization.costs",
            ["spgd", "sga"],
            "generalization.costs: lacks uap, whose work is the measure: add it (found ['spgd', 'sga'])",
        ),
        (
            "masking.fractions",
            [0.25, 1.0],
            "masking.fractions: lacks 0 and 0.5, where what comes back is measured: add them (found [0.25, 1.0])",
        ),
        ("secondary.fig6.banks", {"spgd": HARDENING}, "secondary.fig6.banks.uap: is missing: Fig. 6 shows this attacker, give it a row"),
        (
            "secondary.fig6_defenses",
            ["ours", "prn"],
            "secondary.fig6_defenses: lacks undefended and hardened, which Fig. 6 compares: add them",
        ),
        ("real_images", REAL, "real_images: each would be written to metrics/real_images.csv: keep one (found ['one', 'another'])"),
        (
            "uaps.banks.tuning.start",
            0,
            "uaps.banks.tuning.start: units learn from uaps.banks.train, made from the training images 0 to 7499: start",
        ),
        (
            "uaps.banks.train.split",
            "validation",
            "uaps.banks.train: units learn from this bank, and other images are there to test with:",
        ),
        (
            "uaps.banks.tuning",
            BANK | {"split": "train"},
            "bank_defaults.start: units learn from uaps.banks.train, made from the",
        ),
        (
            "secondary.training.attacks.spgd",
            {key: value for key, value in HARDENING.items() if key != "split"},
            "secondary.training.attacks.spgd: units learn from this bank, and other images are there to test with: give it split: train",
        ),
        (
            "uaps.banks.uap.split",
            "train",
            "uaps.banks.uap.split: units learn from uaps.banks.train, made from the training images 0 to 7499, and",
        ),
        (
            "unseen.sga",
            {"split": "train", "start": 31_000, **BANK},
            "unseen.sga.split: units learn from secondary.training.attacks.spgd, made from the training images 30000 to 32499, and",
        ),
        ("bank_defaults.split", "train", "bank_defaults.split: units learn from uaps.banks.train, made from the training images 0 to 7499"),
    ],
)
def test_what_tables_could_not_show_is_said(tmp_path: Path, key: str, value: Any, said: str) -> None:
    (line,) = refusal(write(tmp_path, Mutation("fact", key, put(at(key), value)))).splitlines()[1:]
    assert line.startswith(f"  {said}")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("0x" + "f" * 4000, "seed has 4,002 letters or digits: give fewer, or a text in quotes"),
        (":".join(["59"] * 40) + ".5", "seed is 59:59:"),
        (":".join(["59"] * 400) + ".5", "seed has 1,"),
        ("010", "seed is 010, which YAML 1.1 converts: write a decimal number, like 10, or quote it"),
        ("-07", "seed is -07, which"),
        ("1:30", "seed is 1:30, which"),
        ("[1, [2, 010]]", "seed.1.1 is 010, which"),
        ("{a: {<<: {b: 1:30}}}", "b is 1:30, which"),
        ("{010: 1}", "a key is 010, which"),
    ],
)
def test_a_number_that_yaml_reads_in_its_own_way(tmp_path: Path, given: str, said: str) -> None:
    before, after = (REPOSITORY / "params.yaml").read_text(encoding="utf-8").split("seed: 0", 1)
    line = before.count("\n") + 1
    assert f"line {line}: {said}" in refusal(write(tmp_path, Mutation("structure", "", lambda: f"{before}seed: {given}{after}")))


def test_texts_in_quotes_are_texts(tmp_path: Path) -> None:
    """However long, and whatever they look like; and so are words with a colon, and decimal numbers with zeros."""
    path = tmp_path / "a.yaml"
    path.write_text(f"a: '010'\nb: \"1:30\"\nc: '{'9' * 4000}'\nd: 00.5\ne: 0\nf: a:b\n", encoding="utf-8")
    assert read_yaml(path) == {"a": "010", "b": "1:30", "c": "9" * 4000, "d": 0.5, "e": 0, "f": "a:b"}


@pytest.mark.parametrize("line", ["rate: 2.0e-3", "seed: 0", "times: 2"])
def test_a_number_as_long_as_any_may_be(tmp_path: Path, line: str) -> None:
    """Every check can still compare it: it is below the largest of float64."""
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    assert line in text
    longest = text.replace(line, f"{line.partition(':')[0]}: 0x{'f' * 198}", 1)
    said = refusal(write(tmp_path, Mutation("range", "", lambda: longest)))
    assert len(said) < LONGEST


@pytest.mark.parametrize("study", ["params.yaml", "studies/imagenet/params.yaml", "studies/imagenet_sample/params.yaml"])
def test_stages_get_the_values_that_were_checked(study: str) -> None:
    """Nothing is converted: the schema's own view of the parameters, each of its type, is what a stage is given."""
    params = load_params(REPOSITORY / study, deep=True)
    assert Params.model_validate(params).model_dump(exclude_unset=True) == params


def test_a_value_that_rows_share_is_one_mistake(tmp_path: Path) -> None:
    """Under the key that the file has, not once for each row that it was written out into."""
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8").replace("  passes: 40\n", "  passes: 0\n", 1)
    path = write(tmp_path, Mutation("range", "passes", lambda: text))
    with pytest.raises(StudyError) as caught:
        load_params(path, deep=True)
    assert str(caught.value).splitlines()[1:] == ["  uaps.passes: give a whole number, 1 or more (found 0)"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("1e-1", "which YAML takes for text: write 1.0e-1)"),
        ("2.5e3", "which YAML takes for text: write 2.5e+3)"),
        ("'0.1'", "which is text: write 0.1 without quotes)"),
    ],
)
def test_a_text_that_looks_like_a_number_is_named(tmp_path: Path, given: str, said: str) -> None:
    """And what the remedy says is a number to YAML."""
    assert isinstance(yaml.safe_load(said.removesuffix(")").removesuffix(" without quotes").rpartition("write ")[2]), float)
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8").replace("rate: 2.0e-3", f"rate: {given}", 1)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(StudyError) as caught:
        load_params(tmp_path / "params.yaml")
    (line,) = str(caught.value).splitlines()[1:]
    assert line.startswith("  networks.caffenet.recipe.rate: give a number (found ")
    assert line.endswith(said)


def test_aliases_that_are_not_written_out_may_be_many(tmp_path: Path) -> None:
    """A file may say a thing once and use it often, as the study of ImageNet does."""
    path = tmp_path / "a.yaml"
    path.write_text("a: &a {x: 1, y: [1, 2]}\n" + "".join(f"b{i}: *a\n" for i in range(100)) + "c: {<<: *a, y: 3}\n")
    assert read_yaml(path)["c"] == {"x": 1, "y": 3}
