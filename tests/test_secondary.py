"""Attackers who know the units, and the training that answers them; means over attacks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from regen_lib.attacks.random_signs import random_signs
from regen_lib.attacks.spgd import spgd
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.inference import predict
from regen_lib.core.perturbations import Bank, Threat, load_bank, save_bank
from regen_lib.core.storage import weights_hash
from regen_lib.evaluation.evaluate import evaluate
from regen_lib.regeneration.hardening import harden, mixture
from regen_lib.regeneration.synthesis import nearest_cosine
from regen_lib.regeneration.unit import regenerate, units
from regen_lib.study.tables.white_box import late_gain
from regen_lib.training.recipe import Recipe
from tests.conftest import draw

WIDE = Threat(float("inf"), 80.0, 1.0)
SPEC: Mapping[str, Any] = {"attack": "spgd", "norm": "inf", "xi": 80, "target": 1.0, "count": 2, "split": "train", "start": 0, "images": 32}


def defend(network: nn.Module) -> nn.Module:
    return regenerate(network, ["conv1_1", "conv2_1"], residual=0.0, generator=torch.Generator().manual_seed(0))


def test_hardening_trains_units_alone_and_keeps_the_old_members(network: nn.Module, images: Images) -> None:
    bank, defended = random_signs(network, images.pixels, WIDE, seed=0, count=3), defend(network)
    frozen, before = weights_hash(network), {name: weights_hash(unit) for name, unit in units(defended).items()}
    attacks = {"spgd": {**SPEC, "options": {"passes": 2, "batch": 8}}}
    plan = {"rounds": 2, "count": 8, "probability": 0.5, "old_bank_share": 0.5, "seed": 0, "name": "t"}
    history = list(harden(defended, bank, {"train": images}, attacks, Recipe(1, 0.05, batch=16), **plan))
    assert weights_hash(network) == frozen
    assert all(weights_hash(unit) != before[name] for name, unit in units(defended).items())
    assert [row["members"] for row in history] == [5, 7]
    first = spgd(defend(network), images.pixels[:32], WIDE, seed=1000, count=2, passes=2, batch=8)
    assert history[0]["spgd"] == pytest.approx(sum(first.fooling) / 2)  # the first round meets the units as they were


@pytest.mark.parametrize("first", [0.5, 0.2])
def test_a_share_of_the_mixture_comes_from_the_first_bank(first: float, network: nn.Module) -> None:
    """Old and new members live in different pixels, so what a mixture holds says where it came from."""
    old, new = torch.zeros(3, 1, 12, 12), torch.zeros(2, 1, 12, 12)
    old[:, :, :6], new[:, :, 6:] = draw(3, 1, 6, 12) * 20, draw(2, 1, 6, 12, seed=1) * 20
    bank = Bank(old, WIDE, "uap", "t", "0", 0, (0.8,) * 3)
    made = mixture([old, new], bank, 10, first, seed=0, name="t")
    assert [bool(v[:, :6].any()) for v in made] == [True] * round(10 * first) + [False] * round(10 - 10 * first)
    assert [bool(v[:, 6:].any()) for v in made] == [False] * round(10 * first) + [True] * round(10 - 10 * first)
    assert float(nearest_cosine(made, torch.cat([old, new])).min()) > 0.3


def test_a_white_box_bank_belongs_to_the_network_it_was_made_against(tmp_path: Path, network: nn.Module, images: Images) -> None:
    defended = defend(network)
    save_bank(tmp_path / "v.safetensors", spgd(defended, images.pixels, WIDE, seed=0, count=1, passes=1, batch=16))
    load_bank(tmp_path / "v.safetensors", network=defended)
    with pytest.raises(StudyError, match="made for other weights"):
        load_bank(tmp_path / "v.safetensors", network=network)


def test_white_box_beats_black_box(network: nn.Module, images: Images) -> None:
    """Against units that change the network, the attacker who differentiates through them fools more."""
    defended = regenerate(network, ["conv1_1", "conv2_1"], residual=1.0, generator=torch.Generator().manual_seed(3))
    clean = predict(defended, images.pixels)

    def fooled(target: nn.Module) -> float:
        v = spgd(target, images.pixels, WIDE, seed=0, count=1, passes=6, batch=16).perturbations
        return float((predict(defended, images.pixels, v) != clean).float().mean())

    assert fooled(defended) > fooled(network)


@pytest.mark.parametrize(("history", "expected"), [([0.1], 0.0), ([0.1, 0.5], 0.4), ([0.3, 0.2, 0.9], 0.6), ([0.1, 0.4, 0.2, 0.3], 0.0)])
def test_late_gain(history: list[float], expected: float) -> None:
    assert late_gain(history) == pytest.approx(expected)


def test_the_mean_over_attacks_by_hand(network: nn.Module, images: Images) -> None:
    banks = {name: random_signs(network, images.pixels, WIDE, seed=seed, count=2) for seed, name in enumerate(("a", "b", "control"))}
    clean: dict[str, Tensor] = {"undefended": predict(network, images.pixels)}
    rows = evaluate("5", "vgg16", {"undefended": network}, clean, banks, images, seed=0, means={"both": ("a", "b")}).set_index("attack")
    assert list(rows.index) == ["a", "b", "control", "both"]
    for column in ("accuracy", "restoration", "fooling_ratio", "clean_accuracy"):
        assert rows[column]["both"] == pytest.approx((rows[column]["a"] + rows[column]["b"]) / 2)
    width: pd.Series = rows.ci_high - rows.ci_low
    assert 0 < width["both"] < max(width["a"], width["b"]) * 1.0001
    other = {**banks, "b": banks["b"].scaled(40.0)}
    with pytest.raises(StudyError, match="average banks of one threat"):
        evaluate("5", "vgg16", {"undefended": network}, clean, other, images, seed=0, means={"both": ("a", "b")})
