"""The mutations of ``python -m tests.mutate`` can be put in; that they are caught is for that command to say."""

from pathlib import Path

import pytest

from tests import mutate
from tests.mutations import MUTATIONS, Mutation
from tests.repository import REPOSITORY


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_fits_its_file(mutation: Mutation) -> None:
    """What it changes stands in its file exactly once, and the tests that it names exist."""
    found = (REPOSITORY / mutation.file).read_text(encoding="utf-8").count(mutation.old)
    assert found == 1
    assert mutation.old != mutation.new
    for test in mutation.tests:
        file, _, function = test.partition("::")
        assert f"def {function}" in (REPOSITORY / file).read_text(encoding="utf-8")


def test_mutations_are_many_and_told_apart() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS) >= 60


def test_a_mutation_is_put_in_or_refused(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("a = 1\nb = 2\nb = 2\n")
    assert mutate.put_in(Mutation("one", "code.py", "a = 1", "a = 3", ()), tmp_path)
    assert (tmp_path / "code.py").read_text() == "a = 3\nb = 2\nb = 2\n"
    for file, old in (("code.py", "a = 1"), ("code.py", "b = 2"), ("nowhere.py", "a = 1")):
        assert not mutate.put_in(Mutation("none", file, old, "", ()), tmp_path)


def test_a_choice_that_matches_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert mutate.main(["--only", "no such mutation"]) == 2
    assert "no mutation has 'no such mutation'" in capsys.readouterr().err
