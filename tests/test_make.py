"""The Makefile's own work with files: what `clean` leaves, and where a link to raw images may go."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.repository import REPOSITORY


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy with its environment, in which python does nothing."""
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    for name in ("pyproject.toml", "requirements.lock"):
        (tmp_path / name).touch()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(str(shutil.which("true")))
    (tmp_path / ".venv/ready").touch()
    return tmp_path


def make(copy: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["make", *words], cwd=copy, capture_output=True, text=True, check=False)


def test_clean_keeps_studies_packs_and_half_trainings(copy: Path) -> None:
    kept = [f"build/{name}" for name in ("cifar10/.dvc/cache/x", "seed1/.dvc/x", "pack.zip", "resume/x", "usage/x.json", "a/b/.dvc/config")]
    gone = [f"build/{name}" for name in ("notebooks/x", "n.ipynb", "a folder/x", "log/x")] + ["docs/api/x"]
    for name in (*kept, *gone):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).touch()
    done = make(copy, "clean")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(str(path.relative_to(copy)) for path in copy.glob("build/**/*") if path.is_file()) == sorted(kept)
    assert not (copy / "docs/api").exists()
    shutil.rmtree(copy / "build")
    assert make(copy, "clean").stderr == ""


@pytest.mark.parametrize(("target", "study"), [("natural", "cifar10"), ("sample", "imagenet_sample")])
def test_a_link_to_raw_images(copy: Path, target: str, study: str) -> None:
    """Only where there is a link already, or nothing; and only to a folder."""
    raw, images = copy / f"studies/{study}/data/raw", copy / "my images"
    raw.parent.parent.mkdir(parents=True)
    images.mkdir()
    done = make(copy, target, "RAW=typo")
    assert done.returncode == 2
    assert "RAW=typo: name a folder with " in done.stdout
    assert not raw.exists()
    for given in ("my images", str(raw)):  # again, and by its own name
        assert make(copy, target, f"RAW={given}").returncode == 0
        assert raw.readlink() == images
    raw.unlink()
    raw.mkdir()
    done = make(copy, target, "RAW=my images")
    assert done.returncode == 2
    assert f"studies/{study}/data/raw is no link but a folder of its own: move it elsewhere" in done.stdout
    assert not list(raw.iterdir())
