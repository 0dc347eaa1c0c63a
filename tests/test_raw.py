"""What DVC sees of raw images, and what its cache takes of the decoded ones."""

from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from PIL import Image

from regen_lib.core.errors import StudyError
from regen_lib.data.sources import fetch
from regen_lib.study import __main__ as study
from regen_lib.study.folder import CONFIG
from tests.repository import REPOSITORY


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The study's stages ``raw`` and ``images``, up to date, with a link to ``one`` as raw folder; ``two`` has the same names."""
    for name, value in (("one", 10), ("two", 200)):
        (tmp_path / name / "t/a").mkdir(parents=True)
        Image.new("L", (40, 30), value).save(tmp_path / name / "t/a/0.png", compress_level=0)
    made = tmp_path / "study"
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    written = {
        ".dvc/config": CONFIG,
        "dvc.yaml": yaml.safe_dump({"stages": {name: stages[name] for name in ("raw", "images")}}),
        "params.yaml": yaml.safe_dump({"images": {"source": "image_folder", "raw": "data/raw"}}),
        **{name: f"as if {name}" for name in ("data/code/images.json", "data/images.safetensors", "executed/images.ipynb")},
    }
    for name, text in written.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    (made / "data/raw").symlink_to(tmp_path / "one")
    monkeypatch.chdir(made)
    commit()
    return made


def commit() -> None:
    with Repo() as repo:
        for stage in ("raw", "images"):
            repo.commit(stage, force=True)


def changed() -> bool:
    """Whether DVC would run the stage ``images`` again."""
    with Repo() as repo:
        return any("data/raw" in str(part) for part in repo.status(["images"]).get("images", []))


def test_images_are_decoded_again(folder: Path) -> None:
    """Other pixels by the same name, another name, another folder with the same names."""
    image, other = folder.parent / "one/t/a/0.png", folder.parent / "two/t/a/0.png"
    assert image.stat().st_size == other.stat().st_size

    def other_folder() -> None:
        (folder / "data/raw").unlink()
        (folder / "data/raw").symlink_to(folder.parent / "two")

    for change in (
        lambda: image.write_bytes(other.read_bytes()),
        lambda: image.rename(image.with_name("1.png")),
        other_folder,
    ):
        assert not changed()
        change()
        assert changed()
        commit()


def test_the_cache_takes_no_second_copy(folder: Path) -> None:
    """One file by two names, which nobody may write to."""
    for name in ("data/images.safetensors", "executed/images.ipynb"):
        about = (folder / name).stat()
        assert about.st_nlink == 2
        assert not about.st_mode & 0o222


def test_the_repository_has_the_same_cache() -> None:
    """As folders made by ``study folder`` have."""
    assert CONFIG[CONFIG.index("[cache]") :] in (REPOSITORY / ".dvc/config").read_text()


def test_what_dvc_would_not_see_is_refused_before_it_starts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(study, "load_params", lambda _path: {"images": {"raw": "data/raw"}})
    (folder / "data/raw/more").symlink_to(folder.parent / "two")
    assert study.main(["repro"]) == 2
    assert "data/raw/more is a link to a folder" in capsys.readouterr().err
    with pytest.raises(StudyError, match="data/raw/more is a link to a folder"):
        fetch("image_folder", Path("data/raw"))
