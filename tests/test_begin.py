"""How a notebook begins, and what trainings and attacks show of themselves."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from regen_lib.attacks import make
from regen_lib.attacks._shared.side_by_side import progress_bar
from regen_lib.core.images import Images
from regen_lib.core.progress import about
from regen_lib.study import notebook
from regen_lib.study.figures.training import losses
from regen_lib.study.tables.training import epochs

SMALL = {"none": None, "smoke": "study: {miniature: true}", "damaged": "study: 3"}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study's folder, with one in which executed notebooks lie; the process is there."""
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "executed/deeper").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("lies", [".", "executed", "executed/deeper"])
def test_a_notebook_finds_its_study_wherever_it_lies(study: Path, lies: str) -> None:
    os.chdir(lies)
    assert notebook.below(".").resolve() == study
    assert notebook.below("data/raw").resolve() == study / "data/raw"
    assert not notebook.below(".").is_absolute()  # so that what is executed names no machine's folders


def test_without_a_study_paths_are_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert notebook.below("a/b") == Path("a/b")


@pytest.mark.parametrize("text", SMALL.values(), ids=SMALL)
def test_a_run_in_miniature_says_so(study: Path, monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(notebook, "display", shown.append)
    monkeypatch.setattr(notebook, "start", lambda _threads: None)
    if text is not None:
        (study / "params.yaml").write_text(text)
    assert notebook.begin(".", 1) == Path()
    assert ["numbers mean nothing" in banner.data for banner in shown] == [True]
    (study / "params.yaml").write_text("study: {seed: 0}")
    notebook.begin(".", 1)
    assert len(shown) == 1


def test_a_bar_names_what_it_makes() -> None:
    network = nn.Linear(1, 1)
    with about("times_2"):
        assert progress_bar(range(1), "uap", network).desc == "times_2, Linear"
    assert progress_bar(range(1), "uap", network).desc == "uap, Linear"


def test_what_a_bank_leaves_out(network: nn.Module, images: Images) -> None:
    """Validation images from the first, norm inf, a target of 0.8."""
    short = {"attack": "random_signs", "xi": 20, "count": 2, "images": 8}
    whole = {**short, "norm": "inf", "target": 0.8, "split": "validation", "start": 0, "options": {}}
    made, expected = (make(network, {"validation": images}, row, seed=3) for row in (short, whole))
    assert torch.equal(made.perturbations, expected.perturbations)
    assert made.threat == expected.threat


def test_the_curve_of_a_training() -> None:
    table = epochs("vgg16", "ours", [0.9, 0.5])
    assert table.to_dict("list") == {"network": ["vgg16"] * 2, "what": ["ours"] * 2, "epoch": [1, 2], "loss": [0.9, 0.5]}
    (line,) = losses(table).axes[0].get_lines()
    assert [list(values) for values in line.get_data()] == [[1, 2], [0.9, 0.5]]
