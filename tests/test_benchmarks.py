"""The benchmarks compare like with like, and say what was asked for."""

import json
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from benchmarks import budget as shares
from benchmarks import democratic as targeted
from benchmarks import hardening as hardenings
from benchmarks import patience as patient
from benchmarks import plain, speed_limits, speed_stage
from benchmarks.attacker import attacked
from benchmarks.program import earlier
from benchmarks.sheets import SAME, UNCHANGED, another_day, budget, democratic, hardening, patience, second_run, speed
from benchmarks.speed import met
from benchmarks.timing import medians, row
from regen_lib.artifacts import weights_hash
from regen_lib.attacks import make
from regen_lib.attacks.sga import sga
from regen_lib.attacks.spgd import spgd
from regen_lib.banks import Threat
from regen_lib.defenses.base import Material
from regen_lib.images import Images
from regen_lib.inference import predict
from regen_lib.metrics import fooling_ratio
from regen_lib.regeneration import regenerate
from regen_lib.synthesis import synthesize, walk
from tests.conftest import draw, rng

CPU = torch.device("cpu")
SIGNS = {"attack": "random_signs", "norm": "inf", "xi": 60, "target": 1.0, "split": "all", "start": 0, "images": 20, "options": {}}


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
    (tmp_path / "params.yaml").write_text(Path("profiles/smoke.yaml").read_text())
    command = [sys.executable, "-m", "regen_lib.study", "run", "blank", "--section", "filter_norms"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "build/executed/blank.json").read_text())["cpu_seconds"] > 0


def test_the_readmes_table() -> None:
    rows = [row("part", "case", 1.0, 60.0, "other", ">50"), row("part", "more", 1.0, 2.0, "plain", "")]
    table = pd.DataFrame(rows).assign(met=["yes", ""], machine="machine", torch="2", python="3")
    lines = speed([table]).splitlines()
    assert lines[0] == "<details><summary>machine, torch 2, Python 3: 1 of 1 met</summary>"
    assert lines[4:6] == ["| part: case | other | 60 | >50 | yes |", "| part: more | plain | 2 |  |  |"]


def run_of_two_cells(folder: Path, ours: float, fooling: float, seconds: float) -> Path:
    """A run whose tables have a cell without and a cell with units; the first is always .50, its interval .45 to .55."""
    folder.mkdir()
    for table in SAME:
        cells = [("undefended", 0.5), ("ours", ours)]
        rows = [
            {"network": "n", "defense": d, "attack": "test", "attack_network": "n", "metric": "restoration", "restoration": v}
            for d, v in cells
        ]
        each = pd.DataFrame(rows).assign(ci_low=[0.45, ours - 0.05], ci_high=[0.55, ours + 0.05], sweep="units", value=6.0)
        each.to_csv(folder / f"{table}.csv", index=False)
    fig6 = {"defense": ["ours", "hardened"], "fooling_own": [0.9, fooling], "fooling_ratio": [0.8, fooling / 2]}
    pd.DataFrame(fig6).to_csv(folder / "fig6_test.csv", index=False)
    home = [("targeted success", "undefended", 1.0), ("targeted success", "democratic_training", fooling / 2)]
    home += [("highest draw", "pixel_deflection", 0.3), ("lowest draw", "pixel_deflection", 0.28)]
    pd.DataFrame(home, columns=["measure", "defense", "value"]).assign(network="vgg16").to_csv(folder / "home.csv", index=False)
    stages = [*UNCHANGED, "rivals"]
    minutes = pd.DataFrame({"stage": stages, "cpu_seconds": [seconds] * len(UNCHANGED) + [7.0], "machine": "a processor"})
    minutes.to_csv(folder / "minutes.csv", index=False)
    (folder / "params.yaml").write_text("secondary: {training: {rounds: 3}}")
    return folder


def test_the_readmes_lines_on_a_second_run(tmp_path: Path) -> None:
    first, second = run_of_two_cells(tmp_path / "a", 0.9, 0.3, 10.0), run_of_two_cells(tmp_path / "b", 0.82, 0.4, 25.0)
    text = second_run(first, second)
    assert f"{len(SAME)} of {2 * len(SAME)} cells outside" in text
    assert "by 0.000 in the mean and 0.000 at most undefended, by 0.080 and 0.080 with units" in text
    assert "hardened for 3 rounds (Fig. 6): best fooling ratio 0.40 on its own images, 0.20 on test images" in text
    assert "of the targeted success on VGG-16 and VGG-16. Pixel Deflection's draws under UAPs: top-1 at most 0.020 apart" in text
    assert "took 2.5 times" in text


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
    table = table.assign(undefended=0.91, first=0.25, network="vgg16", images=5000, machine="a processor")
    lines = hardening(table, {"probability": 0.7, "first": 0.25, "rounds": 5}).splitlines()
    assert lines[2] == "| 0.5 | 0.25 | 5 | 0.40 · 0.43 | 0.38 · 0.40 | 1.0 · 2.0 | 1 of 2 |"
    assert lines[3] == "| **0.7** | **0.25** | **5** | 0.42 | 0.30 | 3.0 | 1 of 1 |"
    chosen = "at most 0.42 on its own images, 3.0 points of clean top-1 lost in the mean"
    assert lines[5] == f"VGG-16, 5,000 validation images, seeds 0, 1; a processor. In bold, what params.yaml has: {chosen}."


def test_two_days_are_compared_over_the_stages_that_did_not_change() -> None:
    here = pd.DataFrame({"stage": ["units", "units", "comparison"], "network": ["a", "b", None], "cpu_seconds": [60.0, 120.0, 600.0]})
    text = another_day(here, here.assign(cpu_seconds=[45.0, 60.0, 10.0]))
    assert "to the byte: 1.8 CPU-minutes, where these took 3.0; four stages of five took 0.53 to 0.72 times as long." in text


def plan(*values: float) -> dict[str, float]:
    return dict(zip(hardenings.KEYS, values, strict=True))


def hardening_params() -> dict[str, Any]:
    """One round of training by random signs, one pass of a UAP attacker."""
    row = {"norm": "inf", "xi": 60, "target": 1.0, "count": 2, "images": 24}
    signs = {**row, "attack": "random_signs", "split": "train", "start": 0, "options": {}}
    attacker = {**row, "attack": "uap", "split": "validation", "start": 5, "options": {"passes": 1, "batch": 12}}
    training = {
        "rounds": 2,
        "count": 4,
        "probability": 0.5,
        "recipe": {"epochs": 1, "rate": 0.05, "batch": 16},
        "attacks": {"signs": signs},
    }
    secondary = {"fig6_network": "vgg16", "training": training, "fig6": {"banks": {"uap": attacker}}, "evaluation": {"images": 40}}
    return {"study": {"seed": 0}, "secondary": secondary}


def test_hardening_is_attacked_after_the_rounds_asked_for(
    tmp_path: Path, network: nn.Module, images: Images, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On training images, and judged on validation images; more seeds and shares are other trainings, the same ones the same rows."""
    splits = {"train": images, "validation": Images(images.pixels.flip(0), images.labels.flip(0))}
    monkeypatch.setattr(hardenings, "START", 0)
    monkeypatch.setattr(hardenings, "load_network", lambda _path: network)
    monkeypatch.setattr(hardenings, "load_bank", lambda _path, network: material.bank)
    monkeypatch.setattr(hardenings, "load_units", lambda _path, model: regenerate(model, ["conv1_1"], residual=0.0, generator=rng()))
    made = [pd.concat(hardenings.rows(hardening_params(), splits, tmp_path, plan(0.5, 0.5, 1), (0, 2))) for _ in range(2)]
    assert list(made[0].rounds) == [0, 2]
    assert made[0].equals(made[1])
    units = regenerate(network, ["conv1_1"], residual=0.0, generator=rng())
    attacker = hardening_params()["secondary"]["fig6"]["banks"]["uap"]
    bank = make(units, splits, {**attacker, "split": "train", "start": 0}, seed=1)
    assert made[0].fooling_own.iloc[0] == max(bank.fooling)
    hits = predict(units, splits["validation"].pixels[:40]) == splits["validation"].labels[:40]
    assert made[0].clean_accuracy.iloc[0] == pytest.approx(float(hits.double().mean()))

    left = [
        [weights_hash(state) for state in hardenings.hardened(hardening_params(), network, splits, tmp_path, plan(*each), 2)]
        for each in ((0.5, 0.5, 1), (0.9, 0.5, 1), (0.5, 0.25, 1), (0.5, 0.5, 2))
    ]
    assert len({states[0] for states in left}) == 1
    assert len({state for states in left for state in states[1:]}) == 8  # two rounds each, no two alike


def test_other_trainings_keep_their_rows(tmp_path: Path) -> None:
    measured = [plan(0.5, 0.5, 0), plan(0.7, 0.5, 1)]
    assert earlier(tmp_path / "t.csv", measured) == []
    pd.DataFrame({"probability": [0.5, 0.5, 0.7, 0.5], "first": [0.5, 0.5, 0.5, 0.25], "seed": [0, 1, 0, 0]}).to_csv(
        tmp_path / "t.csv", index=False
    )
    (kept,) = earlier(tmp_path / "t.csv", measured)
    assert list(zip(kept.probability, kept["first"], kept.seed, strict=True)) == [(0.5, 0.5, 1), (0.7, 0.5, 0), (0.5, 0.25, 0)]


def test_patient_attackers_are_the_studys_with_more_passes() -> None:
    """Fig. 6's attacker on its network alone, Table 6's on all; hardened units where there are some."""
    banks = {"spgd": {"count": 2, "options": {"passes": 12, "patience": 8, "step": 0.1}}}
    fig6 = {"network": "b", "banks": {"uap": {"count": 1, "options": {"passes": 6, "patience": 2}}}}
    secondary = {"fig6_network": "b", "fig6": fig6, "white_box": {"banks": banks}, "hardened": ["b"]}
    params = {"study": {"networks": ["a", "b"]}, "secondary": secondary}
    made = [(*keys.values(), spec["options"]["passes"]) for keys, spec in patient.cases(params, ["ours", "hardened"], [1, 4])]
    assert made == [
        *[("a", "ours", "spgd", 1, 12), ("a", "ours", "spgd", 4, 48)],
        *[("b", defense, attack, k, k * n) for defense in ("ours", "hardened") for attack, n in (("uap", 6), ("spgd", 12)) for k in (1, 4)],
    ]
    assert patient.harder(banks["spgd"], 4) == {"count": 2, "options": {"passes": 48, "patience": 32, "step": 0.1}}
    assert banks["spgd"]["options"]["passes"] == 12


def test_patient_attackers_are_judged_on_images_they_lack(network: nn.Module, images: Images) -> None:
    """The strongest restart on the attacker's images; the fooling ratio of the bank on others."""
    judges = patient.unseen(images, 16)
    assert torch.equal(judges.pixels, images.pixels[len(images) - 16 :])
    spec = {**SIGNS, "attack": "spgd", "count": 1, "options": {"passes": 1, "batch": 10, "step": 0.2}}
    made = attacked(network, network, {"all": images}, spec, judges, name="vgg16", seed=1).iloc[0]
    bank = make(network, {"all": images}, spec, seed=1)
    assert made.fooling_own == max(bank.fooling)
    before, after = (network(judges.pixels.float() + v).argmax(1) for v in (torch.zeros(1), bank.perturbations))
    assert made.fooling_ratio == pytest.approx(float((before != after).double().mean()))


def test_the_readmes_table_of_patience() -> None:
    rows = [("ours", "uap", 4, 0.75, 0.63, 240, 0.0), ("ours", "uap", 1, 0.7, 0.6, 60, 0.03), ("hardened", "sga", 1, 0.5, 0.4, 9, 0.02)]
    rows += [("hardened", "sga", 4, 0.52, 0.41, 36, 0.01)]
    table = pd.DataFrame(rows, columns=["defense", "attack", "effort", "fooling_own", "fooling_ratio", "passes", "late_gain"])
    lines = patience(table.assign(network="vgg16", images=5000, machine="a processor")).splitlines()
    assert lines[2] == "| VGG-16 | regeneration (ours) | UAP | 0.70 | 0.75 | 0.60 | 0.63 | 60 | 240 | 0.03 | 0.00 |"
    assert lines[3] == "| VGG-16 | ours, iterative training | SGA | 0.50 | 0.52 | 0.40 | 0.41 | 9 | 36 | 0.02 | 0.01 |"
    gains = "+0.035 in the mean and +0.050 at most on own images, +0.020 and +0.030 on 5,000 validation images"
    assert lines[5] == f"4 times the passes and the patience add {gains}, 0 of 2 by more than 0.05; a processor."


def test_targeted_success_is_of_images_of_other_classes(network: nn.Module, images: Images) -> None:
    bank = make(network, {"all": images}, {**SIGNS, "count": 1}, seed=1)
    found = network(images.pixels.float() + bank.perturbations).argmax(1)
    towards = int(found.mode().values)
    expected = (found == towards)[images.labels != towards]
    assert torch.equal(targeted.turned(network, images, bank, towards), expected)
    made = targeted.judged(network, network, images, bank, towards).iloc[0]
    assert made.success == made.undefended_success == pytest.approx(float(expected.double().mean()))
    assert made.ci_low <= made.success <= made.ci_high
    assert made.clean_accuracy == made.undefended


def test_democratic_training_is_the_studys_but_for_epsilon_and_seed(
    network: nn.Module, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def record(name: str, model: nn.Module, spec: dict[str, Any], _material: Material, *, seed: int) -> tuple[nn.Module, dict[str, Any]]:
        seen.append({"name": name, "seed": seed, **spec})
        return model, {}

    monkeypatch.setattr(targeted.defenses, "make", record)
    row = {"training": {"epsilon": 60, "steps": 3}, "recipe": {"epochs": 1}}
    plan = {"network": "vgg16", "settled": True, "epsilon": 90, "seed": 1}
    targeted.trained({"rivals": {"democratic_training": row}}, network, material, plan)
    training = {"epsilon": 90, "steps": 3, "settled": True}
    assert seen == [{"name": "democratic_training", "seed": 1, "training": training, "recipe": {"epochs": 1}}]
    assert row["training"]["epsilon"] == 60


def test_the_readmes_table_of_democratic_training() -> None:
    rows = [(60, 1, 0.3, 0.9), (60, 0, 0.2, 0.88), (90, 0, 0.1, 0.85), (90, 1, 0.19, 0.84)]
    table = pd.DataFrame(rows, columns=["epsilon", "seed", "success", "clean_accuracy"])
    table = table.assign(undefended_success=1.0, undefended=0.91, network="vgg16", images=5000, machine="a processor")
    table = pd.concat([table.assign(settled=False), table[:1].assign(settled=True), table[:1].assign(network="vgg_f", settled=False)])
    lines = democratic(table, {"epsilon": 60}).splitlines()
    assert lines[0] == "| BN's statistics | ε | VGG-16 | VGG-F | a fifth or less |"
    vgg16 = "0.20 <sub>-3.0</sub> · 0.30 <sub>-1.0</sub>"
    assert lines[2] == f"| **of the training** | **60** | {vgg16} | 0.30 <sub>-1.0</sub> | 1 of 3 |"
    assert lines[3] == "| of the training | 90 | 0.10 <sub>-6.0</sub> · 0.19 <sub>-7.0</sub> | - | 2 of 2 |"
    assert lines[4] == "| kept | 60 | 0.30 <sub>-1.0</sub> | - | 0 of 1 |"


@pytest.mark.parametrize("program", [shares, hardenings, patient, targeted])
def test_controls_need_the_studys_data(program: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--data", str(tmp_path)]) == 2
    assert "images.safetensors" in capsys.readouterr().err


def test_less_training_is_less_of_the_same(
    tmp_path: Path, network: nn.Module, images: Images, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share of the images, the recipe otherwise as it is; all of them are the study's own training."""
    seen: list[dict[str, Any]] = []

    def record(defense: str, model: nn.Module, spec: dict[str, Any], _material: Material, *, seed: int) -> tuple[nn.Module, dict[str, Any]]:
        seen.append({"defense": defense, "seed": seed, **spec})
        return model, {}

    monkeypatch.setattr(shares, "load_network", lambda _path: network)
    monkeypatch.setattr(shares, "load_bank", lambda _path, network: material.bank)
    monkeypatch.setattr(shares.defenses, "make", record)
    rivals = {name: {"options": {"a": 1}, "recipe": {"epochs": 2, "images": 1000}} for name in ("prn", "hgd")}
    params = {"study": {"seed": 3}, "evaluation": {"images": 48}, "units": {"n": ["conv1_1"]}, "rivals": rivals}
    rows = pd.concat(shares.judged(params, "n", {"train": images, "validation": images}, tmp_path, ["prn", "hgd"]))
    assert [(call["defense"], call["recipe"]["images"]) for call in seen] == [(d, 1000 * s) for d in ("prn", "hgd") for s in shares.SHARES]
    assert all(call["recipe"]["epochs"] == 2 and call["options"] == {"a": 1} and call["seed"] == 3 for call in seen)
    assert list(rows.share) == list(shares.SHARES) * 2
    assert (rows.images == 48).all()
