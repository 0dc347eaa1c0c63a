"""The benchmarks of kernels and loops go their whole way without a GPU, and what docs/speed.md makes of their tables."""

import math
from itertools import islice
from pathlib import Path

import pandas as pd
import pytest
import torch

from benchmarks import gpu_sheet, gpu_timing, loops_gpu
from tests.conftest import rng

CPU = torch.device("cpu")
RESULTS = Path(gpu_sheet.__file__).parent / "results"
ABOUT = {"card": "a card", "driver": "1", "torch": "2", "triton": "3", "python": "4"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="tries the program out without a GPU")
def test_walks_are_checked_and_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of the kernels that are gone stay; a kernel that is wrong is said to be."""
    walks_gpu = pytest.importorskip("benchmarks.walks_gpu", exc_type=ImportError)
    monkeypatch.setattr(gpu_timing, "LEAST", 1)
    monkeypatch.setattr(gpu_timing, "MOST", 1)
    monkeypatch.setattr(walks_gpu, "SETS", 2)
    monkeypatch.setattr(walks_gpu, "ODD", ((3, 2, 4),))
    path = tmp_path / gpu_sheet.KERNELS
    old = {"kernel": ["walks", "gone"], "form": "kernel", "microseconds": [1.5, 2.50], "driver": "580.10"}
    pd.DataFrame(old).to_csv(path, index=False)
    assert walks_gpu.main(["--tiny", "--out", str(tmp_path)]) == 0
    table = pd.read_csv(path, dtype={"driver": str})
    assert table[["kernel", "form"]].to_numpy().tolist() == [["gone", "kernel"], ["walks", "kernel"], ["walks", "eager"]]
    assert (table.microseconds > 0).all()
    assert table.driver[0] == "580.10"
    right = walks_gpu.walks_triton.advance
    monkeypatch.setattr(walks_gpu.walks_triton, "advance", lambda gram, c, *rest: (right(gram, c, *rest), c.mul_(1 + 1e-9)))
    assert len(walks_gpu.wrong(rng())) == 1


def test_loops_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_timing, "LEAST", 1)
    monkeypatch.setattr(gpu_timing, "SPENT", 0.0)
    rows = list(islice(loops_gpu.rates(CPU, tiny=True), 4))
    assert [row["loop"] for row in rows] == ["images to the device", "training step of the units", "evaluation with units", "sPGD step"]
    assert not any(row["note"] for row in rows)
    assert all(row["images_per_second"] > 0 for row in rows)


def test_the_readmes_tables_of_a_gpu(tmp_path: Path) -> None:
    assert gpu_sheet.block(tmp_path) == "**None has been timed on a GPU yet.**"
    rows = [
        ("k", "s", "kernel", 10.0, 8.0),
        ("k", "s", "eager", 40.0, 30.0),
        ("k", "s", "compiled", 30.0, 6.0),
        ("k", "t", "kernel", 10.0, 8.0),
        ("k", "t", "eager", 20.0, 16.0),
        ("w", "s", "kernel", 10.0, math.nan),
        ("w", "s", "eager", 12345.0, math.nan),
    ]
    table = pd.DataFrame(rows, columns=["kernel", "size", "form", "microseconds", "replayed_microseconds"]).assign(dtype="d", **ABOUT)
    table.to_csv(tmp_path / gpu_sheet.KERNELS, index=False)
    lines = gpu_sheet.block(tmp_path).splitlines()
    assert "Kept: w (1,234). Deleted: k (0.75)." in lines[0]
    assert lines[2].startswith("<details><summary>a card, driver 1, torch 2, Triton 3, Python 4: ")
    assert lines[6] == "| k | 1 of 2 sizes | s, d | 10 <sub>8</sub> | 40 <sub>30</sub> | 30 <sub>6</sub> | 0.75 | deleted |"
    assert lines[7] == "| w | 1 of 1 sizes | s, d | 10 | 12,345 | - | 1,234 | kept |"
    rates = [("l", "float32", "eager", 1000.0), ("l", "float32", "kernels", 2000.0), ("l", "bfloat16", "eager", 3000.0)]
    rates += [(gpu_sheet.WITHOUT, "float32", "eager", 10.0), (gpu_sheet.WITHOUT, "float32", "kernels", 9.0)]
    table = pd.DataFrame(rates, columns=["loop", "precision", "form", "images_per_second"]).assign(**ABOUT)
    table.to_csv(tmp_path / gpu_sheet.LOOPS, index=False)
    lines = gpu_sheet.block(tmp_path).splitlines()
    assert lines[-5:-3] == ["| l | float32 | 1,000 | 2,000 |", "| l | bfloat16 | 3,000 | - |"]
    assert "2.00 to 2.00 times the images a second" in lines[11]
    assert "0.90 to 0.90 times" in lines[11]


def test_the_kernel_that_is_kept_is_the_one_that_the_table_keeps() -> None:
    assert "Kept: walks (" in gpu_sheet.block(RESULTS)
