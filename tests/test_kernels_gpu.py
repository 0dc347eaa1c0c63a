"""The benchmarks of kernels and loops go their whole way without a GPU, and say which kernel is wrong."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from benchmarks import gpu_sheet, gpu_timing, kernels_cases, kernels_gpu, loops_gpu
from regen_lib import kernels
from tests.conftest import rng

CPU = torch.device("cpu")
needs_interpreter = pytest.mark.skipif(kernels.triton is None or torch.cuda.is_available(), reason="tries the program out without a GPU")


@needs_interpreter
def test_every_kernel_is_checked_and_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_timing, "SETS", 2)
    monkeypatch.setattr(gpu_timing, "LEAST", 1)
    monkeypatch.setattr(gpu_timing, "MOST", 1)
    assert kernels_gpu.main(["--tiny", "--out", str(tmp_path)]) == 0
    table = pd.read_csv(tmp_path / gpu_sheet.KERNELS)
    assert set(zip(table.kernel, table.form, strict=True)) == {
        (case.kernel, form) for case in kernels_cases.timed() for form in ("kernel", "eager")
    }
    assert (table.microseconds > 0).all()
    assert "kernels faster in" in gpu_sheet.block(tmp_path)


@pytest.mark.parametrize(
    "fault", [torch.zeros_like, lambda out: out.index_fill(0, torch.tensor(0), math.nan), lambda out: out * (1 + 1e-4)]
)
def test_a_wrong_kernel_is_named(fault: Callable[[Tensor], Tensor]) -> None:
    """One that wrote nothing, one that left a NaN, one that is off in the fourth digit."""
    good = kernels_cases.nearest(3, 2, (3, 9, 7))
    good = replace(good, fused=good.twin)
    bad = replace(good, kernel="bad", fused=lambda *given: fault(good.twin(*given)))
    wrong = kernels_gpu.check(CPU, [good, bad], rng())
    assert len(wrong) == 1
    assert wrong[0].startswith("bad, 3 x 3x9x7, 3 classes")


@pytest.mark.parametrize("case", [kernels_cases.walking(12, 5, 30, ends=True), kernels_cases.walking(7, 3, 9)])
def test_dense_walks_end_where_the_others_do(case: kernels_cases.Case) -> None:
    arguments = case.draw(rng())
    mine, theirs = kernels_gpu.fresh(arguments), kernels_gpu.fresh(arguments)
    kernels_cases.dense_walks(kernels_cases.dense_step)(*mine)
    case.twin(*theirs)
    for found, expected in zip(mine[1:4], theirs[1:4], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert bool(theirs[3].gt(0).all())


def test_loops_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_timing, "LEAST", 1)
    monkeypatch.setattr(gpu_timing, "SPENT", 0.0)
    rows = list(islice(loops_gpu.rates(CPU, tiny=True), 4))
    assert [row["loop"] for row in rows] == ["images to the device", "training step of the units", "evaluation with units", "sPGD step"]
    assert not any(row["note"] for row in rows)
    assert all(row["images_per_second"] > 0 for row in rows)


def test_the_readmes_tables_of_a_gpu(tmp_path: Path) -> None:
    assert gpu_sheet.block(tmp_path) == "**None has been timed on a GPU yet.**"
    about = {"card": "a card", "driver": "1", "torch": "2", "triton": "3", "python": "4", "copy_gb_per_second": 3000}
    nan = math.nan
    rows = [("kernel", 10.0, 8.0, 0.9), ("eager", 40.0, 30.0, 0.2), ("compiled", 30.0, 6.0, 1.2), ("tuned", nan, nan, nan)]
    table = pd.DataFrame(rows, columns=["form", "microseconds", "replayed_microseconds", "share_of_copy"]).assign(
        kernel="k", size="s", dtype="d"
    )
    table.assign(**about).to_csv(tmp_path / gpu_sheet.KERNELS, index=False)
    lines = gpu_sheet.block(tmp_path).splitlines()
    machine = "a card, driver 1, torch 2, Triton 3, Python 4"
    assert lines[0] == f"<details><summary>{machine}: kernels faster in 0 of 1 cases; a copy moves 3,000 GB/s</summary>"
    assert lines[4] == "| k | s | d | 10 <sub>8</sub> | 40 <sub>30</sub> | 30 <sub>6</sub> | - | 0.75 | 90 % |"
    rates = [("l", "float32", "eager", 1000.0), ("l", "float32", "kernels", 2000.0), ("l", "bfloat16", "eager", 3000.0)]
    table = pd.DataFrame(rates, columns=["loop", "precision", "form", "images_per_second"]).assign(**about)
    table.to_csv(tmp_path / gpu_sheet.LOOPS, index=False)
    assert gpu_sheet.block(tmp_path).splitlines()[-4:-2] == ["| l | float32 | 1,000 | 2,000 |", "| l | bfloat16 | 3,000 | - |"]
