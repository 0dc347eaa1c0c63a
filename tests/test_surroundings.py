"""Copies without git, machines without a home, folders that are links; what to run where a file is missing."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from regen_lib.core.errors import StudyError
from regen_lib.core.origin import remedy, renewal
from regen_lib.study import surroundings
from regen_lib.study.makers import MAKERS
from tests.pipeline import dependencies, stages
from tests.repository import REPOSITORY


def test_a_folder_of_outputs_that_is_a_link_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to("disk")
    with pytest.raises(StudyError, match=r"^data is a link to disk, and .*: make it a folder"):
        surroundings.refuse_links()
    (tmp_path / "data").unlink()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/raw").symlink_to("../disk")
    surroundings.refuse_links()


def test_a_copy_without_git_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n", encoding="utf-8")
    (tmp_path / "dvc.yaml").write_text("stages: {one: {cmd: touch out, outs: [out]}}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    surroundings.do_without_git(tmp_path)
    done = subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / ".dvc/config.local").unlink()
    (tmp_path / ".git").mkdir()
    surroundings.do_without_git(tmp_path)
    assert not (tmp_path / ".dvc/config.local").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
def test_a_user_whom_nobody_knows_has_a_home(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    code = """
        import getpass, os, pwd
        from regen_lib.study.surroundings import have_a_user
        os.setuid(54321)
        have_a_user()
        print(getpass.getuser(), os.environ["HOME"])
    """
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME")}
    command, environment = [sys.executable, "-c", textwrap.dedent(code)], {**kept, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["user54321", str(tmp_path / "build/home")], done.stderr


def test_what_makes_a_file_is_named_for_the_root_asked_for() -> None:
    assert remedy(Path("data/networks/vgg16.safetensors")) == "`python -m regen_lib.study repro networks` makes it"
    notebook = remedy(Path("../build/notebooks/data/units/hardened/vgg16.safetensors"))
    assert notebook == "run 07a_iterative_training with root = '../build/notebooks' first"
    assert remedy(Path("elsewhere/mine.safetensors")) == "run what makes it first"


def test_the_makers_are_those_of_the_pipeline() -> None:
    """Every stage that runs a notebook and leaves something in data/ is named, with its notebook."""
    notebooks = {name.replace("-", "@", 1).partition("@")[0]: stage.notebook for stage in stages() for name in (stage.name,)}
    named = {stage: notebook for notebook, several in MAKERS.values() for stage in several.split()}
    assert named.items() <= notebooks.items()
    making = {name.partition("@")[0] for name, (command, _) in dependencies().items() if "regen_lib.study run" in command}
    assert making - set(named) == {
        "filter_norms", "noise_masking", "choices", "generalization", "examples", "secondary", "comparison",
        *(making & {"real_images"}),
    }  # fmt: skip


def test_a_damaged_file_of_a_study_is_made_by_its_stage_and_any_other_by_its_maker() -> None:
    assert renewal(Path("elsewhere/mine.safetensors")) == "delete it and make it again"
    assert renewal(Path("data/networks/vgg16.safetensors")).startswith(
        "delete it, `python -m regen_lib.study repro networks` makes it (if it"
    )
