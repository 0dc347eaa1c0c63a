"""Tables of a study that are damaged, cut or missing, each named with what to do; and what of them a lock knows."""

from pathlib import Path

import pandas as pd
import pytest

from regen_lib.core.errors import StudyError
from regen_lib.study.lock import check_tables, stages
from regen_lib.study.report import costs, photographs, seeds
from regen_lib.study.table_file import read_table
from tests.locks import lock

WHOLE = "network,accuracy\nvgg16,0.25\nvgg_f,0.5\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is damaged, or no table"),
        ("caf\udce9\n", "is damaged, or no table"),
        ("network,accuracy\n", "has no rows: mend it"),
        ("network,restoration\na,1\n", "lacks the columns accuracy, it is another table: mend it"),
        (WHOLE[:-2], "is cut, its last row does not end: mend it"),
        (WHOLE.replace("0.25", "0.2x"), "is damaged, not all in its column accuracy are numbers: mend it"),
        (WHOLE.replace("vgg_f", "v\0\0\0f"), "is damaged, it holds null bytes: mend it"),
        (WHOLE.replace("vgg_f", "<<<<<<< ours\nvgg_f"), "is damaged, it holds the marks of a merge: mend it"),
    ],
)
def test_a_damaged_table_is_named(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(StudyError) as caught:
        read_table(path, ("network", "accuracy"), "mend it", filled=True)
    assert str(caught.value).startswith(f"{path} {said}")
    assert str(caught.value).endswith(": mend it")
    assert "\n" not in str(caught.value)


def test_a_whole_table_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(WHOLE)
    assert read_table(tmp_path / "t.csv", ("network", "accuracy"), filled=True).to_dict("list") == {
        "network": ["vgg16", "vgg_f"],
        "accuracy": [0.25, 0.5],
    }


def test_a_missing_table_is_made_by_its_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the notebooks 05b and 06 read them, in the study's folder and in another."""
    monkeypatch.chdir(tmp_path)
    for path, said in (
        ("metrics/table2.csv", "`python -m regen_lib.study repro evaluation` makes it"),
        ("../build/x/metrics/table3.csv", "run 05_evaluation with root = '../build/x' first"),
        ("metrics/own.csv", "run what makes it first"),
    ):
        with pytest.raises(StudyError) as caught:
            read_table(Path(path))
        assert str(caught.value) == f"{path} is missing: {said}"


def test_a_table_that_its_stage_did_not_leave_so(tmp_path: Path) -> None:
    """One that is cut after a row is a table, only shorter."""
    (tmp_path / "metrics").mkdir()
    (path := tmp_path / "metrics/t.csv").write_text(WHOLE)
    check_tables(tmp_path, ["t"])
    with pytest.raises(StudyError, match=r"t\.csv is no output that .*dvc\.lock knows: run its stage there first"):
        check_tables(tmp_path, ["t"], needed=True)
    lock(tmp_path, [path])
    check_tables(tmp_path, ["t"], needed=True)
    path.write_text(WHOLE.partition("vgg_f")[0])
    with pytest.raises(StudyError, match=r"t\.csv is not as dvc\.lock beside it has it, cut or changed: delete it"):
        check_tables(tmp_path, ["t"])


@pytest.mark.parametrize("damaged", ["[", "stages: []", "stages: {a: {outs: [1]}}", "stages: {a: {outs: [{path: x}]}}"])
def test_a_damaged_lock_is_named(tmp_path: Path, damaged: str) -> None:
    (tmp_path / "dvc.lock").write_text(damaged)
    with pytest.raises(StudyError, match=r"dvc\.lock is damaged, or no lock of DVC .*: take git's"):
        stages(tmp_path / "dvc.lock")


@pytest.mark.parametrize("name", ["minutes", "seeds", "real_images"])
@pytest.mark.parametrize("content", ["", "a,b\n1,2\n"])
def test_tables_that_not_every_study_has(tmp_path: Path, name: str, content: str) -> None:
    read = {"minutes": costs.read_minutes, "real_images": photographs.read, "seeds": lambda folder: seeds.read(folder / "seeds.csv")}[name]
    assert read(tmp_path) is None
    (tmp_path / f"{name}.csv").write_text(content)
    with pytest.raises(StudyError, match=rf"{name}\.csv .*: delete it"):
        read(tmp_path)


def test_seeds_that_lack_a_network_or_our_own_units(tmp_path: Path) -> None:
    """Hardened units need not be on every network."""
    rows = [(n, d, 0) for n in ("vgg16", "vgg_f") for d in ("ours", "prn")] + [("vgg16", "hardened", 0), ("vgg16", "ours", 1)]
    table = pd.DataFrame(rows, columns=["network", "defense", "seed"]).assign(**dict.fromkeys(seeds.MEASURES, 0.5))
    table.to_csv(path := tmp_path / "seeds.csv", index=False)
    found = seeds.read(path)
    assert found is not None
    assert len(found) == 6
    for lacking in (table.drop(3), table.replace({"defense": {"ours": "jpeg"}})):
        lacking.to_csv(path, index=False)
        with pytest.raises(StudyError, match=r"seeds\.csv lacks rows of seed 0, .*: delete it and run `make seeds`"):
            seeds.read(path)
