"""What docs/ says of the benchmarks and controls, from tables made by hand; the pages against the tables in the repository."""

from pathlib import Path

import pandas as pd
import pytest

from benchmarks import sheets
from benchmarks.sheets import budget, hardening, patience, speed
from benchmarks.timing import row
from regen_lib.study.report.pages import insert
from tests.repository import REPOSITORY


def test_the_readmes_table() -> None:
    rows = [row("part", "case", 1.0, 60.0, "other", ">50"), row("part", "more", 1.0, 2.0, "plain", "")]
    table = pd.DataFrame(rows).assign(met=["yes", ""], machine="machine", torch="2", python="3")
    lines = speed([table]).splitlines()
    assert lines[0] == "<details><summary>machine, torch 2, Python 3: 1 of 1 met</summary>"
    assert lines[4:6] == ["| part: case | other | 60 | >50 | yes |", "| part: more | plain | 2 |  |  |"]


def test_the_readmes_table_of_less_training() -> None:
    rows = [
        (n, "prn", share, v)
        for share, values in ((0.3, (0.5, 0.7)), (1.0, (0.9, 0.96)))
        for n, v in zip(("vgg16", "vgg_f"), values, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["network", "defense", "share", "restoration"])
    table = table.assign(ci_low=table.restoration - 0.01, ci_high=table.restoration + 0.01, images=5000, machine="a processor")
    lines = budget(table).splitlines()
    assert lines[0] == "| a processor | 30 % of the images | 100 % of the images |"
    cells = [
        "PRN, 2 networks",
        "0.600, lowest 0.500 <sub>0.490-0.510</sub> on VGG-16",
        "0.930, lowest 0.900 <sub>0.890-0.910</sub> on VGG-16",
    ]
    assert lines[2] == f"| {' | '.join(cells)} |"


def test_the_readmes_table_of_hardening() -> None:
    rows = [(0.5, 5, 1, 0.43, 0.4, 0.89), (0.5, 5, 0, 0.4, 0.38, 0.9), (0.7, 5, 0, 0.42, 0.3, 0.88)]
    table = pd.DataFrame(rows, columns=["probability", "rounds", "seed", "fooling_own", "fooling_ratio", "clean_accuracy"])
    table = table.assign(undefended=0.91, old_bank_share=0.25, network="vgg16", images=5000, machine="a processor")
    lines = hardening(table, {"probability": 0.7, "old_bank_share": 0.25, "rounds": 5}).splitlines()
    assert lines[2] == "| 0.5 | 0.25 | 5 | 0.40 · 0.43 | 0.38 · 0.40 | 1.0 · 2.0 | 1 of 2 |"
    assert lines[3] == "| **0.7** | **0.25** | **5** | 0.42 | 0.30 | 3.0 | 1 of 1 |"
    chosen = "at most 0.42 on its own images, 3.0 points of clean top-1 lost in the mean"
    assert lines[5] == f"VGG-16, 5,000 validation images, seeds 0, 1; a processor. In bold, what params.yaml has: {chosen}."


def test_the_readmes_table_of_patience() -> None:
    rows = [("ours", "uap", 4, 0.75, 0.63, 240, 0.0), ("ours", "uap", 1, 0.7, 0.6, 60, 0.03), ("hardened", "sga", 1, 0.5, 0.4, 9, 0.02)]
    rows += [("hardened", "sga", 4, 0.52, 0.41, 36, 0.01)]
    table = pd.DataFrame(rows, columns=["defense", "attack", "effort", "fooling_own", "fooling_ratio", "passes", "late_gain"])
    lines = patience(table.assign(network="vgg16", images=5000, machine="a processor")).splitlines()
    assert lines[2] == "| VGG-16 | regeneration (ours) | UAP | 0.70 | 0.75 | 0.60 | 0.63 | 60 | 240 | 0.03 | 0.00 |"
    assert lines[3] == "| VGG-16 | ours, iterative training | SGA | 0.50 | 0.52 | 0.40 | 0.41 | 9 | 36 | 0.02 | 0.01 |"
    gains = "+0.035 in the mean and +0.050 at most on own images, +0.020 and +0.030 on 5,000 validation images"
    assert lines[5] == f"4 times the work adds {gains}, 1 of 2 by more than 0.02; a processor."


def test_pages_show_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    blocks = sheets.blocks()
    assert set(blocks) == {part for parts in sheets.PAGES.values() for part in parts}
    for page, parts in sheets.PAGES.items():
        text = Path(page).read_text()
        for part in parts:
            assert insert(text, part, blocks[part], "benchmarks.sheets") == text, f"{page}: {part}"
