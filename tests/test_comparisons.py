"""What attacks are compared by: patience, the work they took, other strengths, activation energy."""

import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from regen_lib.attacks import make
from regen_lib.attacks._shared.side_by_side import Best
from regen_lib.attacks.spgd import spgd
from regen_lib.core.gradients import gradients_counted
from regen_lib.core.images import Images
from regen_lib.core.perturbations import Threat, load_bank, save_bank
from regen_lib.study.tables.attacks import at_equal_cost, margins

WIDE = Threat(math.inf, 80.0, 1.0)


@pytest.mark.parametrize(
    ("ratios", "patience", "ends"),
    [
        ([0.2, 0.4, 0.4, 0.4], 2, 4),  # two passes without gain
        ([0.2, 0.4, 0.1, 0.5], 2, None),
        ([0.2, 0.2025, 0.2025], 1, 2),  # less than 0.005 is no gain
        ([0.2, 0.21, 0.22], 1, None),  # a hundredth is
        ([0.2, 0.2, 0.2, 0.2], None, None),  # no patience asked for: all passes
        ([0.2, 0.95], 5, 2),  # the target
    ],
)
def test_when_an_attack_is_over(ratios: list[float], patience: int | None, ends: int | None) -> None:
    best, over = Best(torch.zeros(1, 1, 2, 2), 0.9, patience), []
    for step, ratio in enumerate(ratios):
        best.look(torch.full((1, 1, 2, 2), float(step)), [ratio], [0])
        over.append(best.over)
    assert (over.index(True) + 1 if True in over else None) == ends


def test_every_member_keeps_its_own_best() -> None:
    best = Best(torch.zeros(2, 1, 1, 1), 0.9)
    for step, ratios in enumerate(([0.3, 0.5], [0.6, 0.4], [0.5, 0.95]), start=1):
        best.look(torch.full((2, 1, 1, 1), float(step)), ratios, [0, 1])
    best.look(torch.full((2, 1, 1, 1), 9.0), [0.7], [0])  # the second member has reached its target and takes no part
    assert best.v.flatten().tolist() == [9.0, 3.0]
    assert best.fooling == [0.7, 0.95]
    assert best.history[1:] == pytest.approx([0.4, 0.55, 0.775, 0.825])
    assert best.running == [0]


def test_spgd_gives_its_best_pass_and_stops_when_nothing_is_gained(smooth: nn.Module, images: Images) -> None:
    threat = Threat(math.inf, 12.0, 1.0)
    bank = spgd(smooth, images.pixels, threat, seed=0, count=1, passes=200, batch=24, step=0.05, patience=6)
    x = images.pixels.float()
    measured = float((smooth(x + bank.perturbations).argmax(1) != smooth(x).argmax(1)).float().mean())
    assert bank.fooling[0] == pytest.approx(measured) == pytest.approx(max(bank.history))
    assert 6 < len(bank.history) < 200
    assert bank.history[-1] - bank.history[-7] < 0.005


@pytest.mark.parametrize(
    ("attack", "options", "expected"),
    [
        ("spgd", {"passes": 3, "batch": 8}, 3 * 24),
        ("sga", {"passes": 2, "batch": 12, "inner": 4, "repeats": 2}, 2 * 2 * 24),
        ("gap", {"passes": 2, "batch": 8}, 2 * 24),
        ("nag", {"passes": 2, "batch": 8}, 2 * 2 * 24),
        ("fff", {"steps": 7, "check": 2}, 7),
        ("gd_uap", {"steps": 7, "check": 2, "prior": "range", "batch": 3}, 7 * 3),
        ("random_signs", {}, 0),
    ],
)
def test_the_work_of_an_attack_by_hand(
    network: nn.Module, images: Images, tmp_path: Path, attack: str, options: dict[str, int | str], expected: int
) -> None:
    """Two perturbations of 24 images each; what is counted is for one of them, and is kept with the bank."""
    spec = {"attack": attack, "norm": "inf", "xi": 80, "target": 1.0, "count": 2, "split": "train", "start": 0, "images": 48}
    bank = make(network, {"train": images}, {**spec, "options": options}, seed=0)
    assert bank.gradients == expected
    save_bank(tmp_path / "v.safetensors", bank)
    assert load_bank(tmp_path / "v.safetensors").gradients == expected


def test_deepfool_pays_for_every_class(network: nn.Module) -> None:
    x = torch.zeros(5, 1, 12, 12, requires_grad=True)
    with gradients_counted(network) as gradients:
        logits = network(x)
        for k in range(3):
            torch.autograd.grad(logits[:, k].sum(), x, retain_graph=True)
        network(x.detach())
    assert sum(gradients) == 3 * 5


def test_true_labels_lead_elsewhere(network: nn.Module, images: Images) -> None:
    """The network is untrained, so its predictions are not the labels: with ``truth`` the loss is that of the labels."""
    spec = {"attack": "spgd", "norm": "inf", "xi": 80, "target": 1.0, "count": 1, "split": "train", "start": 8, "images": 40}
    own, true = (
        make(network, {"train": images}, {**spec, "options": {"passes": 1, "batch": 40, **extra}}, seed=0).perturbations
        for extra in ({}, {"truth": True})
    )
    leaf = torch.zeros(1, 1, 12, 12, requires_grad=True)

    def step(labels: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(network(images.pixels[8:].float() + leaf), labels)
        return 8 * torch.autograd.grad(loss, leaf)[0].sign()

    torch.testing.assert_close(own, step(network(images.pixels[8:].float()).argmax(1)))
    torch.testing.assert_close(true, step(images.labels[8:]))
    assert not torch.equal(own, true)


def test_margins_and_equal_cost_by_hand() -> None:
    rows = [("n", "a", 10, 0.3), ("n", "a", 20, 0.9), ("n", "signs", 10, 0.1), ("n", "signs", 20, 0.6), ("m", "a", 10, 0.2)]
    table = pd.DataFrame([*rows, ("m", "signs", 10, 0.3)], columns=["network", "attack", "xi", "fooling"])
    found = margins(table, "signs")
    assert found.margin.tolist() == pytest.approx([0.2, 0.3, -0.1])
    spent = [("n", "uap", 100, 0.5), ("n", "uap", 200, 0.8), ("n", "b", 150, 0.7), ("n", "b", 300, 0.9), ("n", "c", 50, 0.6)]
    equal = at_equal_cost(pd.DataFrame(spent, columns=["network", "attack", "gradients", "fooling"]), "uap")
    assert equal.loc["n"].to_dict() == {"uap": 0.8, "b": 0.7, "c": 0.6}
