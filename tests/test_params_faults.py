"""Parameter files with a mistake each are refused, in one message that says what to do; what is no mistake passes."""

import time
from itertools import groupby
from pathlib import Path

import pytest
import yaml

from regen_lib.core.errors import StudyError
from regen_lib.study.params import load_params
from regen_lib.study.reading import read_yaml
from regen_lib.study.schema import Params
from tests.faults.parameters import Mutation, mutations
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
            if mutation.single:
                assert len(said.splitlines()) <= 2, f"{mutation.name}: {said}"
                assert len(said) < LONGEST, f"{mutation.name}: {said}"


def test_what_is_no_mistake_passes(tmp_path: Path) -> None:
    for mutation in share():
        if mutation.kind == "harmless":
            load_params(write(tmp_path, mutation), deep=True)


@pytest.mark.parametrize("study", ["params.yaml", "studies/imagenet/params.yaml", "studies/imagenet_sample/params.yaml"])
def test_stages_get_the_values_that_were_checked(study: str) -> None:
    """Nothing is converted: the schema's own view of the parameters, each of its type, is what a stage is given."""
    params = load_params(REPOSITORY / study, deep=True)
    assert Params.model_validate(params).model_dump(exclude_unset=True) == params


def test_a_value_that_rows_share_is_one_mistake(tmp_path: Path) -> None:
    """Under the key that the file has, not once for each row that it was written out into."""
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8").replace("  passes: 40\n", "  passes: 0\n", 1)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(StudyError) as caught:
        load_params(tmp_path / "params.yaml", deep=True)
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
