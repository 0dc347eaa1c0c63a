"""Raw images and published weights are inputs like any other: other bytes, and what was made from them is made again."""

from pathlib import Path

import pytest
from dvc.repo import Repo

from regen_lib.study.folder import prepare
from regen_lib.study.stage import notebook_parameters, parsed
from tests.pipeline import dependencies
from tests.repository import REPOSITORY


def test_a_stage_that_reads_raw_files_depends_on_them() -> None:
    """A notebook with a parameter that says where raw files lie."""
    found = {name: parsed(command.split()) for name, (command, _) in dependencies().items()}
    reads = {
        name
        for name, stage in found.items()
        if stage and {"raw", "stream"} & set(notebook_parameters(REPOSITORY / f"notebooks/{stage.notebook}.ipynb"))
    }
    assert {name.partition("@")[0] for name in reads} == {"images", "networks", "units", "ablation"}
    assert all("data/raw" in dependencies()[name][1] for name in reads)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study whose stages up to the networks are up to date, so DVC believes, with weights behind a link."""
    study = tmp_path / "study"
    prepare(study, REPOSITORY / "params.yaml", REPOSITORY / "profiles/smoke.yaml", raw=False)
    for name in ("one", "other"):
        (tmp_path / name / "weights").mkdir(parents=True)
        (tmp_path / name / "weights/net.mat").write_bytes(name.encode())
    (study / "data").mkdir(exist_ok=True)
    (study / "data/raw").symlink_to(tmp_path / "one")
    monkeypatch.chdir(study)
    for stage in Repo().index.stages:
        if stage.addressing in ("raw", "images", "networks@vgg16"):
            for path in (*stage.deps, *stage.outs):
                made = Path(path.fs_path)
                if not made.exists():
                    made.parent.mkdir(parents=True, exist_ok=True)
                    made.write_bytes(b"made")
            Repo().commit(stage.addressing, force=True)
    return study


def changed() -> set[str]:
    """The stages that DVC would run again."""
    targets = ["raw", "images", "networks@vgg16"]
    return {name.rpartition(":")[2] for name in Repo().status(targets=targets)}


def test_other_weights_run_the_networks_again(folder: Path, tmp_path: Path) -> None:
    assert changed() == set()
    (tmp_path / "one/weights/net.mat").write_bytes(b"two")  # of that length and name
    assert {"networks@vgg16", "images"} <= changed()
    (tmp_path / "one/weights/net.mat").write_bytes(b"one")
    assert changed() == set()
    (folder / "data/raw").unlink()
    (folder / "data/raw").symlink_to(tmp_path / "other")
    assert {"networks@vgg16", "images"} <= changed()


def test_a_killed_writers_file_changes_nothing(folder: Path) -> None:
    """A folder that others depend on is the same with it."""
    (folder / "data/raw/weights/net.mat.123.partial").write_bytes(b"half")
    assert changed() == set()
