"""What DVC sees of raw images, and what its cache takes of the decoded ones."""

from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from PIL import Image

from regen_lib.study import __main__ as study
from regen_lib.study.folder import prepare
from tests.repository import REPOSITORY


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study whose raw folder is a link to ``one``, and whose images are up to date; ``two`` has the same names."""
    for name, value in (("one", 10), ("two", 200)):
        (tmp_path / name / "t/a").mkdir(parents=True)
        Image.new("L", (40, 30), value).save(tmp_path / name / "t/a/0.png", compress_level=0)
    source = {"source": "image_folder", "options": {"trees": dict.fromkeys(("train", "validation", "test"), "t")}}
    profile = yaml.safe_load((REPOSITORY / "profiles/smoke.yaml").read_text())
    (tmp_path / "profile.yaml").write_text(yaml.safe_dump({**profile, "images": {**profile.get("images", {}), **source}}))
    made = tmp_path / "study"
    prepare(made, REPOSITORY / "params.yaml", tmp_path / "profile.yaml", raw=False)
    for name in ("data/code/images.json", "data/images.safetensors", "executed/images.ipynb"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(f"as if {name}")
    (made / "data/raw").symlink_to(tmp_path / "one")
    commit(made)
    return made


def commit(folder: Path) -> None:
    with Repo(str(folder)) as repo:
        for stage in ("raw", "images"):
            repo.commit(stage, force=True)


def changed(folder: Path) -> bool:
    """Whether DVC would run the stage ``images`` again."""
    with Repo(str(folder)) as repo:
        return any("data/raw" in str(part) for part in repo.status(["images"]).get("images", []))


def other_folder(folder: Path) -> None:
    (folder / "data/raw").unlink()
    (folder / "data/raw").symlink_to(folder.parent / "two")


def other_pixels(folder: Path) -> None:
    (folder / "data/raw/t/a/0.png").write_bytes((folder.parent / "two/t/a/0.png").read_bytes())


def other_name(folder: Path) -> None:
    (folder / "data/raw/t/a/0.png").rename(folder / "data/raw/t/a/1.png")


@pytest.mark.parametrize("change", [other_folder, other_pixels, other_name])
def test_images_are_decoded_again(folder: Path, change: object) -> None:
    assert not changed(folder)
    change(folder)  # type: ignore[operator]
    assert changed(folder)


def test_the_cache_takes_no_second_copy(folder: Path) -> None:
    """One file by two names, which nobody may write to."""
    for name in ("data/images.safetensors", "executed/images.ipynb"):
        about = (folder / name).stat()
        assert about.st_nlink == 2
        assert not about.st_mode & 0o222


def test_what_dvc_would_not_see_is_refused_before_it_starts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    (folder / "data/raw/more").symlink_to(folder.parent / "two")
    assert study.main(["repro"]) == 2
    assert "data/raw/more is a link to a folder" in capsys.readouterr().err
    assert study.main(["raw"]) == 2
