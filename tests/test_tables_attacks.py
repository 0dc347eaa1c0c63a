"""Attacks beside each other: strengths, work, excitation, against loops over a study made by hand."""

import math

import pytest
import torch
from torch import Tensor, nn

from regen_lib.study.tables import attacks as tables
from tests.suite import HISTORY, NAMES, Known, said, share


def test_strengths_scale_every_bank_to_every_xi(known: Known) -> None:
    table = tables.strengths(known.suite, ["uap", "random_signs"], [20.0, 60.0, 90.0])
    rows = iter(table.itertuples(index=False))
    for name in NAMES:
        for attack in ("uap", "random_signs"):
            for xi in (20.0, 60.0, 90.0):
                v, parts = known.banks[name, attack].perturbations * xi / 60, known.images.pixels.split(40)
                ratios = [
                    share(said(known.networks[name], p, one[None]) != said(known.networks[name], p))
                    for p, one in zip(parts, v, strict=True)
                ]
                row = next(rows)
                assert (row.network, row.attack, row.xi) == (name, attack, xi)
                assert row.fooling == pytest.approx(sum(ratios) / 3)
    assert next(rows, None) is None
    assert table.fooling.nunique() > 6


def test_strengths_take_a_sample_of_the_test_images(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tables.SAMPLE == 1000
    monkeypatch.setattr(tables, "SAMPLE", 20)
    row = tables.strengths(known.suite, ["fff"], [60.0]).iloc[0]
    v, parts = known.banks["one", "fff"].perturbations, known.images.pixels[:20].split(10)
    ratios = [share(said(known.networks["one"], p, one[None]) != said(known.networks["one"], p)) for p, one in zip(parts, v, strict=True)]
    assert row.fooling == pytest.approx(sum(ratios) / 2)


def test_margins_of_a_measured_table(known: Known) -> None:
    table = tables.strengths(known.suite, ["uap", "nag", "random_signs"], [20.0, 60.0])
    found = tables.margins(table, "random_signs")
    by = table.set_index(["network", "attack", "xi"]).fooling
    for row in found.itertuples(index=False):
        assert row.margin == pytest.approx(row.fooling - by[row.network, "random_signs", row.xi])
    assert set(found.attack) == {"uap", "nag"}


def test_costs_spread_a_banks_gradients_over_its_passes(known: Known) -> None:
    """Every bank by hand cost 100 gradients in four passes."""
    table = tables.costs(known.suite, ["uap", "spgd"])
    expected = [(n, a, 25.0 * (i + 1), HISTORY[i]) for n in NAMES for a in ("uap", "spgd") for i in range(4)]
    assert list(table[["network", "attack", "gradients", "fooling"]].itertuples(index=False, name=None)) == expected


def test_at_equal_cost_takes_the_best_within_the_budget(known: Known) -> None:
    table = tables.costs(known.suite, ["uap", "spgd"])
    table.loc[table.attack == "spgd", "gradients"] *= 2  # 50, 100, 150, 200: two passes fit into UAP's 100
    found = tables.at_equal_cost(table, "uap")
    assert found.loc["one"].to_dict() == found.loc["two"].to_dict() == {"uap": 0.6, "spgd": 0.4}


def outputs(network: nn.Module, x: Tensor) -> list[Tensor]:
    """What every convolution gives, in order, part by part through the network."""
    found = []
    for part in network.children():
        x = part(x)
        found += [x] if isinstance(part, nn.Conv2d) else []
    return found


def test_energies_are_logarithms_of_squared_norms(known: Known) -> None:
    x = known.images.pixels[:5].float()
    found = tables.energies(known.suite, "one", x)
    for layer, values in enumerate(outputs(known.networks["one"], x)):
        for image in range(5):
            assert float(found[image, layer]) == pytest.approx(math.log(sum(float(v) ** 2 for v in values[image].flatten())), rel=1e-4)
    assert found.shape == (5, 13)


def test_excitation_is_what_the_first_member_adds(known: Known) -> None:
    table = tables.excitations(known.suite, ["uap", "random_signs"]).set_index(["network", "attack"]).excitation
    for name in NAMES:
        x = known.images.pixels.float()
        for attack in ("uap", "random_signs"):
            v = known.banks[name, attack].perturbations[0]
            pairs = zip(outputs(known.networks[name], x + v), outputs(known.networks[name], x), strict=True)
            gains = [(a.flatten(1).norm(dim=1).log() - b.flatten(1).norm(dim=1).log()) * 2 for a, b in pairs]
            assert table[name, attack] == pytest.approx(float(torch.stack(gains).mean()), rel=1e-3, abs=1e-4)
    assert table.abs().min() > 1e-3


def test_a_silent_convolution_has_no_part_in_the_mean(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    """An output that is zero everywhere has no logarithm: the layer is left out, not the table."""
    clean, moved = torch.tensor([[1.0, -math.inf], [2.0, 3.0]]), torch.tensor([[1.5, 4.0], [2.5, 5.0]])
    seen = iter([clean, moved] * len(NAMES))
    monkeypatch.setattr(tables, "energies", lambda *_: next(seen))
    assert list(tables.excitations(known.suite, ["uap"]).excitation) == [0.5] * len(NAMES)
