"""The benchmarks compare like with like, and say what was asked for."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits
from torch import nn

from benchmarks import plain, speed, speed_limits, speed_stage
from benchmarks.speed import met
from benchmarks.timing import Row, medians, row
from regen_lib.attacks.sga import sga
from regen_lib.attacks.spgd import spgd
from regen_lib.core.images import Images
from regen_lib.core.inference import predict
from regen_lib.core.metrics import fooling_ratio
from regen_lib.core.perturbations import Threat
from regen_lib.regeneration.synthesis import synthesize, walk
from tests.conftest import draw, rng

CPU = torch.device("cpu")


def test_medians_are_taken_in_turns_after_a_warm_up() -> None:
    seen: list[str] = []

    def slow() -> None:
        seen.append("b")
        sum(range(500_000))

    taken = medians({"a": lambda: seen.append("a"), "b": slow}, CPU, repeats=3)
    assert seen == ["a", "b"] * 4
    assert taken["b"] > taken["a"]


@pytest.mark.parametrize(
    ("ours", "other", "asked", "ratio", "verdict"),
    [
        (1.0, 60.0, ">50", 60, "yes"),
        (1.0, 40.0, ">50", 40, "no"),
        (2.6, 2.0, "<1.35", 1.3, "yes"),
        (2.8, 2.0, "<1.35", 1.4, "no"),
        (1, 2, "", 2, ""),
    ],
)
def test_ratios_and_what_was_asked(ours: float, other: float, asked: str, ratio: float, verdict: str) -> None:
    line = row("part", "case", ours, other, "other", asked)
    assert line["ratio"] == pytest.approx(ratio)
    assert met(pd.Series(line)) == verdict


def test_the_literal_loop_walks_as_ours_does() -> None:
    """Other draws, the same distribution: every result is past eta, and the norms' means agree."""
    bank = draw(6, 1, 8, 8) * torch.linspace(0.8, 1.2, 6).view(-1, 1, 1, 1)
    literal, ours = torch.from_numpy(plain.algorithm1(bank, 400, np.random.default_rng(0))), synthesize(bank, walk(bank, 400, rng=rng()))
    eta = float(bank.flatten(1).norm(dim=1).min())
    norms = [made.flatten(1).norm(dim=1) for made in (literal, ours)]
    assert all(bool((n > eta * (1 - 1e-5)).all()) for n in norms)
    assert float(norms[0].mean()) == pytest.approx(float(norms[1].mean()), rel=0.02)


def test_plain_attacks_are_as_strong_as_ours(network: nn.Module, images: Images) -> None:
    threat, clean = Threat(math.inf, 60.0, 1.0), predict(network, images.pixels)
    made = {
        "spgd": (
            spgd(network, images.pixels, threat, seed=0, count=1, passes=5, batch=12).perturbations,
            plain.spgd(network, images.pixels, 60.0, 5, 12),
        ),
        "sga": (
            sga(network, images.pixels, threat, seed=0, count=1, passes=3, batch=24, inner=6, repeats=2).perturbations,
            plain.sga(network, images.pixels, 60.0, 3, 24, 6, 2),
        ),
    }
    for ours, theirs in made.values():
        assert float(theirs.abs().max()) <= 60
        ratios = [fooling_ratio(clean, predict(network, images.pixels, v)) for v in (ours, theirs)]
        assert min(ratios) > 0.2
        assert abs(ratios[0] - ratios[1]) < 0.25


def test_operations_of_a_linear_network_and_of_a_convolution() -> None:
    """Two for every multiply-add, forward and once more for each gradient that is asked for."""
    linear, y = nn.Linear(30, 7, bias=False).requires_grad_(False), torch.arange(5)
    forward = 2 * 5 * 30 * 7
    assert speed_limits.operations(lambda: linear(draw(5, 30))) == forward
    assert speed_limits.operations(speed_limits.training_step(linear, draw(5, 30).requires_grad_(), y)) == 2 * forward
    convolution = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    step = speed_limits.training_step(nn.Sequential(convolution, nn.Flatten()), draw(2, 3, 6, 6), torch.arange(2))
    assert speed_limits.operations(step) == 2 * (2 * 2 * 36 * 3 * 4 * 9)  # the images' own gradient is not asked for


def test_a_blank_stage_is_a_notebook_that_the_study_runs(tmp_path: Path) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/blank.ipynb").write_text(json.dumps(speed_stage.blank()))
    (tmp_path / "params.yaml").write_text(Path("params.yaml").read_text())
    command = [sys.executable, "-m", "regen_lib.study", "run", "blank", "--as", "blank", "--section", "filter_norms"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "build/usage/blank.json").read_text())["cpu_seconds"] > 0


def test_what_is_measured_runs_on_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy's BLAS too, whose threads torch does not know of."""
    seen: list[int] = []

    def part(_device: torch.device) -> Iterator[Row]:
        seen.extend(pool["num_threads"] for pool in threadpool_info())
        yield row("part", "case", 1.0, 1.0, "itself", "")

    monkeypatch.setattr(speed, "RESULTS", tmp_path)
    monkeypatch.setitem(speed.PARTS, "limits", part)
    with threadpool_limits(2):
        assert speed.main(["--only", "limits"]) == 0
    assert seen
    assert set(seen) == {1}
