"""The controls beside the study, on networks small enough to say what they must give."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from benchmarks import budget as shares
from benchmarks import hardening as hardenings
from benchmarks import patience as patient
from benchmarks.attacker import attacked
from benchmarks.program import earlier
from regen_lib.attacks import make
from regen_lib.core.images import Images
from regen_lib.core.inference import predict
from regen_lib.core.storage import weights_hash
from regen_lib.defenses._shared.base import TrainingData
from regen_lib.regeneration.unit import regenerate
from tests.conftest import rng

SIGNS = {"attack": "random_signs", "norm": "inf", "xi": 60, "target": 1.0, "split": "all", "start": 0, "images": 20, "options": {}}


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
    secondary = {"fig6_network": "vgg16", "training": training, "fig6": {"banks": {"uap": attacker}}}
    return {"study": {"seed": 0}, "secondary": secondary}


def test_hardening_is_attacked_after_the_rounds_asked_for(
    tmp_path: Path, network: nn.Module, images: Images, training_data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On training images, and judged on validation images; more seeds and shares are other trainings, the same ones the same rows."""
    splits = {"train": images, "validation": Images(images.pixels.flip(0), images.labels.flip(0))}
    monkeypatch.setattr(hardenings, "START", 0)
    monkeypatch.setattr(hardenings, "JUDGES", 40)
    monkeypatch.setattr(hardenings, "load_network", lambda _path: network)
    monkeypatch.setattr(hardenings, "load_bank", lambda _path, network: training_data.bank)
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
    pd.DataFrame({"probability": [0.5, 0.5, 0.7, 0.5], "old_bank_share": [0.5, 0.5, 0.5, 0.25], "seed": [0, 1, 0, 0]}).to_csv(
        tmp_path / "t.csv", index=False
    )
    (kept,) = earlier(tmp_path / "t.csv", measured)
    assert list(zip(kept.probability, kept.old_bank_share, kept.seed, strict=True)) == [(0.5, 0.5, 1), (0.7, 0.5, 0), (0.5, 0.25, 0)]


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


def test_the_undefended_network_meets_one_perturbation_of_each_attack_with_more_work() -> None:
    rows = {"uap": {"count": 5, "options": {"passes": 4}}, "spare": {"count": 5, "options": {"passes": 1}}}
    unseen = {
        "fff": {"fff": {"count": 5, "options": {"steps": 1000, "check": 100}}},
        "s": {"singular": {"count": 5, "options": {"iterations": 30}}},
    }
    params = {"study": {"networks": ["a"]}, "secondary": {"hardened": []}, "uaps": {"banks": rows}}
    params |= {"unseen": {stage: {"banks": banks} for stage, banks in unseen.items()}, "generalization": {"attacks": ["fff", "singular"]}}
    made = [(keys["attack"], spec["count"], spec["options"]) for keys, spec in patient.cases(params, ["undefended"], [4])]
    assert made == [("uap", 1, {"passes": 16}), ("fff", 1, {"steps": 4000, "check": 100}), ("singular", 1, {"iterations": 120})]


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


@pytest.mark.parametrize("program", [shares, hardenings, patient])
def test_controls_need_the_studys_data(program: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--data", str(tmp_path)]) == 2
    assert "images.safetensors" in capsys.readouterr().err


def test_less_training_is_less_of_the_same(
    tmp_path: Path, network: nn.Module, images: Images, training_data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share of the images, the recipe otherwise as it is; all of them are the study's own training."""
    seen: list[dict[str, Any]] = []

    def record(defense: str, model: nn.Module, spec: dict[str, Any], _training_data: TrainingData, *, seed: int) -> nn.Module:
        seen.append({"defense": defense, "seed": seed, **spec})
        return model

    monkeypatch.setattr(shares, "JUDGES", 48)
    monkeypatch.setattr(shares, "load_network", lambda _path: network)
    monkeypatch.setattr(shares, "load_bank", lambda _path, network: training_data.bank)
    monkeypatch.setattr(shares.defenses, "make", record)
    rivals = {name: {"options": {"a": 1}, "recipe": {"epochs": 2, "images": 1000}} for name in ("prn", "hgd")}
    params = {"study": {"seed": 3}, "units": {"n": ["conv1_1"]}, "rivals": rivals}
    rows = pd.concat(shares.judged(params, "n", {"train": images, "validation": images}, tmp_path, ["prn", "hgd"]))
    assert [(call["defense"], call["recipe"]["images"]) for call in seen] == [(d, 1000 * s) for d in ("prn", "hgd") for s in shares.SHARES]
    assert all(call["recipe"]["epochs"] == 2 and call["options"] == {"a": 1} and call["seed"] == 3 for call in seen)
    assert list(rows.share) == list(shares.SHARES) * 2
    assert (rows.images == 48).all()
