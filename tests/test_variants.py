"""Defences with one thing changed: what changes, what stays, what is measured; on networks small enough to say so."""

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from benchmarks import variants
from benchmarks.sheets import FIRST
from benchmarks.sheets import variants as sheet
from benchmarks.variants import Subject, defended, judged, moved, perturbations, plans, with_changes
from regen_lib.core.images import Images
from regen_lib.core.inference import draw as random_members
from regen_lib.core.perturbations import Bank
from regen_lib.core.seeding import generator
from regen_lib.defenses._shared.base import TrainingData
from tests.conftest import draw, rng

RECIPE = {"epochs": 2, "rate": 0.05, "images": 32, "batch": 16, "schedule": "cycle"}
PARAMS: dict[str, Any] = {
    "study": {"seed": 3, "networks": ["n"], "threads": 1},
    "units": {"n": ["conv1_1", "conv2_1"]},
    "synthesis": {"method": "paper", "count": 6, "eta_scale": 0.9},
    "generalization": {"attacks": ["fff", "nag"]},
    "training": {
        "recipe": RECIPE,
        **{"probability": 0.4, "clip": False, "width": 1.0, "residual": 0.0, "target": "labels"},
        "variants": {"ours": {"units": 2, "ratio": 0.5}},
    },
    "rivals": {"jpeg": {"options": {"quality": 75}, "recipe": None}, "prn": {"options": {"maps": 4, "blocks": 1}, "recipe": RECIPE}},
}


@pytest.fixture
def subject(network: nn.Module, images: Images, training_data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> Subject:
    """A tiny network whose banks are all random signs."""
    monkeypatch.setattr(variants, "load_network", lambda _path: network)
    monkeypatch.setattr(variants, "bank_file", lambda _data, _network, bank: bank)
    signs = {"train": 1.0, "tuning": 0.9, "fff": 0.8, "nag": -1.0}
    banks = {name: replace(training_data.bank, perturbations=training_data.bank.perturbations * by) for name, by in signs.items()}
    monkeypatch.setattr(variants, "load_bank", lambda path, network: banks[path])
    monkeypatch.setattr(variants, "JUDGES", 20)
    return Subject(PARAMS, "n", {"train": images, "validation": images}, Path())


def symmetries(v: torch.Tensor) -> set[bytes]:
    """``v`` ``[C, H, W]`` under every mirror, cyclic shift and sign."""
    made = [sign * v.flip(axes) for sign in (1, -1) for axes in ([], [1], [2], [1, 2])]
    return {w.roll((i, j), (1, 2)).numpy().tobytes() for w in made for i in range(v.shape[1]) for j in range(v.shape[2])}


def test_moved_perturbations_are_members_mirrored_shifted_and_negated() -> None:
    bank = draw(2, 3, 5, 4, seed=1)
    made = moved(bank, 60, rng(2))
    orbits = [symmetries(v) for v in bank]
    assert [sum(v.numpy().tobytes() in orbit for orbit in orbits) for v in made] == [1] * 60
    assert len({v.numpy().tobytes() for v in made}) > 40  # of 2 x 2 x 4 x 20
    assert moved(bank, 60, rng(2)).equal(made)


def test_a_row_changes_what_it_names_and_nothing_else() -> None:
    spec = {"options": {"maps": 12, "blocks": 3}, "recipe": {"epochs": 2, "images": 20000, "rate": 0.1}}
    kept = {"options": {"maps": 12, "blocks": 3}, "training": {}, "recipe": {"epochs": 2, "images": 20000, "rate": 0.1}}
    assert with_changes(spec, {"defense": "prn"}) == kept
    assert with_changes(spec, {"options": {"maps": 4}}) == kept | {"options": {"maps": 4, "blocks": 3}}
    assert with_changes(spec, {"recipe": {"images": 5000}})["recipe"] == {"epochs": 2, "images": 5000, "rate": 0.1}
    assert with_changes(spec, {"images": 2500})["recipe"] == {"epochs": 16, "images": 2500, "rate": 0.1}  # 40,000 presented, as before
    assert spec["recipe"] == kept["recipe"]


def test_what_a_defence_learns_from(subject: Subject, training_data: TrainingData) -> None:
    """Rivals get the UAPs as they are, units what Algorithm 1 makes of them: copies of one where there is one."""
    bank = training_data.bank.perturbations
    assert perturbations(subject, {"defense": "prn"}).equal(bank)
    assert perturbations(subject, {"defense": "prn", "members": 2}).equal(bank[:2])
    assert perturbations(subject, {"defense": "ours", "members": 1}).equal(bank[:1])
    assert len(perturbations(subject, {"defense": "ours"})) == 6
    few = perturbations(subject, {"defense": "ours", "members": 2}).flatten(1)
    beyond = few - few @ torch.linalg.pinv(bank[:2].flatten(1)) @ bank[:2].flatten(1)
    assert float(beyond.abs().max()) < 1e-3  # pixels outside the span of the two
    made = perturbations(subject, {"defense": "prn", "method": "moved"})
    assert len(made) == 6
    assert {v.abs().flatten().sort().values.numpy().tobytes() for v in made} <= {
        v.abs().flatten().sort().values.numpy().tobytes() for v in bank
    }


def test_rows_are_trained_as_the_study_trains(subject: Subject) -> None:
    """Other options, images and perturbations give other weights; the same row the same ones."""
    rows: list[dict[str, Any]] = [
        {},
        {"options": {"ratio": 1.0}},
        {"training": {"probability": 0.9}},
        {"images": 16},
        {"method": "moved"},
        {"members": 1},
    ]
    trained = [torch.cat([p.flatten() for p in defended(subject, {"defense": "ours", **row}).state_dict().values()]) for row in (*rows, {})]
    assert trained[0].equal(trained[-1])
    assert len({t.numpy().tobytes() for t in trained}) == len(rows)
    assert len(list(defended(subject, {"defense": "prn", "options": {"blocks": 3}}).rectifier)) == 6
    few, many = (defended(subject, {"defense": "prn", **row}).state_dict() for row in ({"members": 1}, {"method": "moved"}))
    assert not few["rectifier.0.weight"].equal(many["rectifier.0.weight"])
    assert defended(subject, {"defense": "undefended"}) is subject.network


def test_what_is_measured(subject: Subject, training_data: TrainingData) -> None:
    """On the last validation images; the mean and the worst over attacks that nothing was trained on, and not the UAPs."""
    row = judged(subject, {"defense": "jpeg", "options": {"quality": 30}})
    jpeg, judges = defended(subject, {"defense": "jpeg", "options": {"quality": 30}}), subject.splits["validation"]
    x, y = judges.pixels[-20:].float(), judges.labels[-20:]
    bare, clean = (float((model(x).argmax(1) == y).double().mean()) for model in (subject.network, jpeg))
    assert row["clean"] == pytest.approx(clean)
    assert row["weights"] == 0
    assert row["images"] == 20
    members = training_data.bank.perturbations
    found = {}
    for name, by in (("tuning", 0.9), ("fff", 0.8), ("nag", -1.0)):
        which = random_members(20, len(members), generator(3, "evaluation", name))
        found[name] = float((jpeg(x + by * members[which]).argmax(1) == y).double().mean())
    assert row["uaps"] == pytest.approx((clean + found["tuning"]) / 2 / bare)  # Eq. 9: half of its images are clean
    assert row["unseen"] == pytest.approx((clean + (found["fff"] + found["nag"]) / 2) / 2 / bare)
    assert row["worst"] == pytest.approx(min(found["fff"], found["nag"]))


def test_rows_that_are_there_are_kept(subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a kill the run goes on where it was; `again` measures anew."""
    asked = [("JPEG", FIRST, {"defense": "jpeg"}), ("JPEG", "30", {"defense": "jpeg", "options": {"quality": 30}})]
    monkeypatch.setattr(variants, "load_params", lambda _path: PARAMS)
    monkeypatch.setattr(variants, "load_images", lambda _path: subject.splits)
    monkeypatch.setattr(variants, "plans", lambda _about: asked)
    done = itertools.count(1)
    monkeypatch.setattr(variants, "judged", lambda _subject, _row: {"clean": float(next(done))})
    table = tmp_path / "variants.csv"
    monkeypatch.setattr(variants, "plans", lambda _about: asked[:1])
    assert variants.main(["--table", str(table)]) == 0
    monkeypatch.setattr(variants, "plans", lambda _about: asked)
    assert variants.main(["--table", str(table)]) == 0
    assert list(pd.read_csv(table).clean) == [1, 2]
    assert variants.main(["--table", str(table), "--again"]) == 0
    assert list(pd.read_csv(table).clean) == [3, 4]


def test_every_row_can_be_made() -> None:
    """The first of each subject is the study's own; names and options are those of params.yaml."""
    params = {name: set(spec) for name, spec in (("ours", {"units", "ratio", "width", "residual"}), ("undefended", set()))}
    asked = plans(None)
    assert len({(about, variant) for about, variant, _ in asked}) == len(asked)
    for about in dict.fromkeys(about for about, _, _ in asked):
        assert plans([about])[0][1:] == (
            FIRST,
            {key: value for key, value in plans([about])[0][2].items() if key in ("defense", "attacked")},
        )
    for _, variant, row in asked:
        assert row.keys() <= {"defense", "options", "training", "recipe", "images", "members", "method", "attacked"}, variant
        assert row["defense"] not in params or set(row.get("options", {})) <= params[row["defense"]], variant


def test_the_sheet() -> None:
    rows = [("a", FIRST, 0.8, 0.97, 0.93, 0.6, 0.5), ("a", "four", 0.81, 0.98, 0.95, 0.62, None)]
    rows += [("b", FIRST, 0.9, 0.95, 0.91, 0.7, 0.6), ("b", "four", 0.89, 0.94, 0.9, 0.66, None)]
    columns = ["network", "variant", "clean", "uaps", "unseen", "worst", "white_box"]
    table = pd.DataFrame(rows, columns=columns).replace({"network": {"a": "vgg16", "b": "caffenet"}})
    rest = {"about": "regeneration", "seed": 1, "weights": 1200, "cpu_seconds": 40.4, "images": 3000, "machine": "a processor"}
    lines = sheet(table.assign(low=table.unseen - 0.01, high=table.unseen + 0.01, **rest)).splitlines()
    assert lines[0].startswith("| regeneration | clean top-1 |")
    assert lines[2] == f"| {FIRST} | 0.850 | 0.960 | 0.920 <sub>±0.010</sub> |  | 0.650 | 0.550 | 1,200 | 40 |"
    assert lines[3] == "| four | 0.850 | 0.960 | 0.925 <sub>±0.010</sub> | +0.020 · -0.010 | 0.640 |  | 1,200 | 40 |"
    assert lines[5].startswith("VGG-16, CaffeNet, 3,000 validation images; networks of seed 1; ")


def test_a_bank_of_moved_members_is_within_its_xi(training_data: TrainingData) -> None:
    bank = training_data.bank
    made = moved(bank.perturbations, 9, rng())
    assert isinstance(replace(bank, perturbations=made, fooling=(math.nan,) * 9), Bank)
