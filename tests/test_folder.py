"""``study folder``: a study of its own beside others, none of which it may touch."""

import os
import shutil
from pathlib import Path

import pytest
import yaml

from regen_lib.study.__main__ import main
from tests.repository import REPOSITORY

STUDIES = ("studies/cifar10", "studies/imagenet")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The definition, the default study and two others, as they lie in git."""
    (tmp_path / "notebooks").mkdir()
    for name in ("params.yaml", "dvc.yaml", "profiles/smoke.yaml", "studies/cifar10/seeds.yaml", *(f"{s}/params.yaml" for s in STUDIES)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    for study in STUDIES:
        (tmp_path / study / "dvc.yaml").symlink_to("../../dvc.yaml")
    return tmp_path


def there(folder: Path) -> dict[str, str]:
    """What every file in and below a folder says, or where it leads."""
    paths = [path for path in folder.rglob("*") if path.is_symlink() or path.is_file()]
    return {str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_text() for path in paths}


def made(project: Path, monkeypatch: pytest.MonkeyPatch, study: str, target: str, *more: str) -> int:
    """The status of the command in a study's folder."""
    monkeypatch.chdir(project / study)
    profile = os.path.relpath(project / ("profiles/smoke.yaml" if study == "." else "studies/cifar10/seeds.yaml"))
    return main(["folder", target, "--profile", profile, *more])


@pytest.mark.parametrize(
    ("study", "target", "said"),
    [
        ("studies/cifar10", ".", ". is the study itself"),
        ("studies/cifar10", "../../studies/cifar10", "../../studies/cifar10 is the study itself"),
        ("studies/cifar10", "../imagenet", "../imagenet/params.yaml was not written by this command"),
        ("studies/cifar10", "../..", "../../params.yaml was not written by this command"),
        (".", ".", ". is the study itself"),
        (".", "studies/cifar10", "studies/cifar10/params.yaml was not written by this command"),
    ],
)
def test_a_study_is_not_replaced(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], study: str, target: str, said: str
) -> None:
    before = there(project)
    assert made(project, monkeypatch, study, target) == 2
    assert f"error: {said}" in (err := capsys.readouterr().err)
    assert "name a new folder" in err
    assert there(project) == before


@pytest.mark.parametrize("own", ["dvc.yaml", "params.yaml", ".dvc/config"])
def test_somebody_elses_file_is_not_replaced(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], own: str
) -> None:
    (project / "mine" / own).parent.mkdir(parents=True)
    (project / "mine" / own).write_text("mine: 1\n")
    assert made(project, monkeypatch, ".", "mine") == 2
    assert f"mine/{own} was not written by this command" in capsys.readouterr().err
    assert there(project / "mine") == {own: "mine: 1\n"}


def test_a_folder_of_another_study_or_with_parameters_by_hand_is_not_replaced(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command has made it, and yet what it holds is not what this study would put there again."""
    assert made(project, monkeypatch, "studies/cifar10", "../../build/seed1", "--seed", "1") == 0
    assert made(project, monkeypatch, ".", "build/seed1") == 2
    assert "build/seed1/dvc.yaml was not written by this command from params.yaml" in capsys.readouterr().err
    with (project / "build/seed1/params.yaml").open("a") as file:
        file.write("# longer trainings\n")
    assert made(project, monkeypatch, "studies/cifar10", "../../build/seed1", "--seed", "1") == 2
    assert "longer" in (project / "build/seed1/params.yaml").read_text()


def test_a_folder_that_it_made_is_made_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results stay, and so does what DVC was told there; images are copied anew, but not onto themselves through a link."""
    (project / "studies/cifar10/data/raw").mkdir(parents=True)
    (project / "studies/cifar10/data/raw/a.jpg").write_text("a photograph")
    for seed in ("1", "2"):
        assert made(project, monkeypatch, "studies/cifar10", "../../build/again", "--seed", seed) == 0
        folder = project / "build/again"
        params = yaml.safe_load((folder / "params.yaml").read_text())
        assert (params["study"]["seed"], params["study"]["source"]) == (int(seed), "../..")
        assert (folder / "dvc.yaml").resolve() == project / "dvc.yaml"
        assert (folder / "data/raw/a.jpg").read_text() == "a photograph"
        (folder / "dvc.lock").write_text("hours of work")
        with (folder / ".dvc/config").open("a") as file:
            file.write("    dir = /elsewhere\n")
        (folder / "data/raw/a.jpg").unlink()
        (folder / "data/raw/a.jpg").symlink_to(project / "studies/cifar10/data/raw/a.jpg")
    assert (folder / "dvc.lock").read_text() == "hours of work"
    assert (folder / ".dvc/config").read_text().count("/elsewhere") == 2


def test_a_build_folder_that_is_a_link(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """From another disk its definition and its notebooks are found all the same."""
    (project / "build").symlink_to(tmp_path_factory.mktemp("disk"))
    assert made(project, monkeypatch, ".", "build/smoke") == 0
    folder = project / "build/smoke"
    assert (folder / "dvc.yaml").is_file()
    assert (folder / yaml.safe_load((folder / "params.yaml").read_text())["study"]["source"] / "notebooks").is_dir()


@pytest.mark.parametrize(
    ("more", "profile", "said"),
    [
        (("--seed", "-1"), None, "study.seed: give 0 or more (found -1)"),
        ((), "study: {networks: [vgg19]}", "network 'vgg19' is unknown"),
        ((), "units: {vgg16: {nowhere: 3}}", "nowhere"),
        ((), "threats: 1", "threats is 1"),
        ((), "drop: [nothing]", "no 'nothing'"),
    ],
)
def test_parameters_are_checked_before_anything_is_written(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...],
    profile: str | None,
    said: str,
) -> None:
    if profile:
        (project / "profiles/smoke.yaml").write_text(profile)
    before = there(project)
    assert made(project, monkeypatch, ".", "build/new", *more) == 2
    assert said in capsys.readouterr().err
    assert there(project) == before
    assert not (project / "build").exists()


@pytest.mark.parametrize(("gone", "said"), [("params.yaml", "run in the study's folder"), ("profiles/smoke.yaml", "name a YAML file")])
def test_a_file_that_is_missing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], gone: str, said: str
) -> None:
    (project / gone).unlink()
    assert made(project, monkeypatch, ".", "build/new") == 2
    assert f"{gone} is missing: {said}" in capsys.readouterr().err


def test_images_that_cannot_be_copied(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """All that copytree says of them is a list."""
    (project / "data/raw").mkdir(parents=True)
    (project / "data/raw/gone.jpg").symlink_to("nowhere")
    assert made(project, monkeypatch, ".", "build/new") == 2
    err = capsys.readouterr().err
    assert err.startswith("error: data/raw cannot be copied to build/new/data/raw ([Errno 2] No such file")
    assert "see to room and rights" in err
