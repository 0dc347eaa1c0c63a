"""Tables 1 to 5, Fig. S2, clipping and the choices: each cell against a loop over a study made by hand."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from regen_lib.core.errors import StudyError
from regen_lib.core.perturbations import Bank, Threat
from regen_lib.evaluation.banks import summarise
from tests.suite import BANKS, LAYERS, NAMES, UNITS, Known, said, share

DEFENSES = ("undefended", "ours", "jpeg")


def assert_cells(table: pd.DataFrame, keys: list[str], value: str, expected: dict[tuple[object, ...], float]) -> None:
    """``table`` has exactly the cells ``expected``, by ``keys``, once each."""
    found = {key: float(cell) for *key_parts, cell in table[[*keys, value]].itertuples(index=False) for key in [tuple(key_parts)]}
    assert len(found) == len(table)
    assert found == pytest.approx(expected)


def restored(known: Known, network: torch.nn.Module, name: str, bank: str) -> float:
    """Eq. 9: top-1 over clean and perturbed images in equal numbers, over the undefended network's clean top-1."""
    clean = share(known.hits(network))
    return (clean + known.top1(network, name, bank)) / 2 / share(known.hits(known.networks[name]))


def test_table_1_crosses_every_network_with_every_networks_uaps(known: Known) -> None:
    table = known.suite.cross_network(1, clip=False, xi=None)
    expected = {}
    for name in NAMES:
        for defense in DEFENSES:
            for other in NAMES:
                v, network = known.banks[other, "uap"].perturbations, known.suite.defended[name][defense]
                expected[name, defense, other] = share(known.hits(network, v, known.choice(other, len(v))))
    assert_cells(table, ["network", "defense", "attack_network"], "accuracy", expected)
    assert list(table.attack) == list(table.attack_network)
    assert set(table.metric) == {"accuracy"}
    assert ((table.ci_low < table.accuracy) & (table.accuracy < table.ci_high)).all()


def test_table_1_at_another_xi_and_clipped(known: Known) -> None:
    table = known.suite.cross_network(1, clip=True, xi=30.0)
    assert set(table.xi) == {30.0}
    row = table[(table.network == "one") & (table.defense == "undefended") & (table.attack == "two")].iloc[0]
    v = known.banks["two", "uap"].perturbations / 2
    assert row.accuracy == pytest.approx(share(known.hits(known.networks["one"], v, known.choice("two", 3), clip=True)))


@pytest.mark.parametrize("attacks", [["uap", "random_signs"], ["uap_l2", "random_l2"]])
def test_tables_2_and_3_put_every_network_under_its_own_banks(known: Known, attacks: list[str]) -> None:
    table = known.suite.own_banks(2, attacks)
    cells = [(name, defense, attack) for name in NAMES for defense in DEFENSES for attack in attacks]
    networks = known.suite.defended
    assert_cells(table, ["network", "defense", "attack"], "accuracy", {(n, d, a): known.top1(networks[n][d], n, a) for n, d, a in cells})
    assert_cells(
        table, ["network", "defense", "attack"], "restoration", {(n, d, a): restored(known, networks[n][d], n, a) for n, d, a in cells}
    )
    clean = {(n, d, a): share(known.hits(networks[n][d])) for n, d, a in cells}
    assert_cells(table, ["network", "defense", "attack"], "clean_accuracy", clean)
    assert set(table.norm) == {BANKS[attacks[0]][0]}


def test_a_fooling_ratio_counts_changed_classes_not_errors(known: Known) -> None:
    table, pixels = known.suite.own_banks(2, ["uap"]), known.images.pixels
    expected = {}
    for name in NAMES:
        for defense, network in known.suite.defended[name].items():
            perturbed = said(network, pixels, known.banks[name, "uap"].perturbations, known.choice("uap", 3))
            expected[name, defense] = share(perturbed != said(network, pixels))
    assert_cells(table, ["network", "defense"], "fooling_ratio", expected)


def test_xi_and_clip_reach_table_2(known: Known) -> None:
    table = known.suite.own_banks(2, ["uap"], clip=True, xi=20.0).set_index(["network", "defense"])
    for name in NAMES:
        v = known.banks[name, "uap"].perturbations / 3
        expected = share(known.hits(known.networks[name], v, known.choice("uap", 3), clip=True))
        assert table.accuracy[name, "undefended"] == pytest.approx(expected)
    assert (table.xi == 20).all()
    assert table["clip"].all()


def test_table_5s_mean_is_over_the_attacks_listed(known: Known) -> None:
    table = known.suite.own_banks(5, ["fff", "nag", "random_signs"], means={"mean_unseen": ["fff", "nag"]})
    rows = table.set_index(["network", "defense", "attack"]).sort_index()
    for name in NAMES:
        for defense in DEFENSES:
            for column in ("accuracy", "restoration", "fooling_ratio"):
                values: pd.Series = rows.xs((name, defense))[column]
                assert values["mean_unseen"] == pytest.approx((values["fff"] + values["nag"]) / 2)
    assert (rows.xs("mean_unseen", level="attack").xi == 60).all()


def test_table_4_grows_with_xi_from_the_trained_one(known: Known) -> None:
    table, _ = known.suite.strengths(4, "two", ["uap_smaller", "xi120", "xi90"], clip=False)
    assert list(table[table.defense == "ours"].attack) == ["uap", "xi90", "xi120"]
    assert list(table[table.defense == "ours"].xi) == [60, 90, 120]
    expected = {(d, a): known.top1(known.suite.defended["two"][d], "two", a) for d in DEFENSES for a in ("uap", "xi90", "xi120")}
    assert_cells(table, ["defense", "attack"], "accuracy", expected)


def members_fooled(known: Known, name: str, v: torch.Tensor) -> list[float]:
    """Fooling ratio of each member on an equal share of the test images."""
    each = len(known.images) // len(v)
    parts = known.images.pixels[: each * len(v)].split(each)
    return [
        share(said(known.networks[name], part, one[None]) != said(known.networks[name], part)) for part, one in zip(parts, v, strict=True)
    ]


def test_fooling_against_xi_has_the_control_at_the_same_xi(known: Known) -> None:
    _, points = known.suite.strengths(4, "one", ["uap_smaller", "xi90"], clip=False)
    expected = []
    for bank, xi in (("uap_smaller", 55.0), ("uap", 60.0), ("xi90", 90.0)):
        control = known.banks["one", "random_signs"].perturbations * (xi / 60)
        for label, v in (("UAP", known.banks["one", bank].perturbations), ("random signs", control)):
            ratios = members_fooled(known, "one", v)
            expected.append((label, xi, pytest.approx(sum(ratios) / 3), pytest.approx(min(ratios))))
    assert list(points[["label", "xi", "fooling", "weakest"]].itertuples(index=False, name=None)) == expected


def test_the_ablation_sorts_variants_into_two_sweeps(known: Known) -> None:
    """By units, at half of the filters: 0, 1, 2; by ratio, with units on all positions: 0, half, all."""
    variants = {name: {"units": UNITS[name][0], "ratio": UNITS[name][1]} for name in ("units1", "units2", "ratio100")}
    table = known.suite.ablation("S2", "one", variants, LAYERS, ["fff", "nag"], clip=False)
    networks = known.suite.variants("one", variants)
    sweeps = [("units", 0.0, "undefended"), ("units", 1.0, "units1"), ("units", 2.0, "units2")]
    sweeps += [("ratio", 0.0, "undefended"), ("ratio", 0.5, "units2"), ("ratio", 1.0, "ratio100")]
    expected = {(s, v, d, a): restored(known, networks[d], "one", a) for s, v, d in sweeps for a in ("uap", "uap_l2")}
    for s, v, d in sweeps:  # and the mean over attacks that no unit has met, whose own rows are left out
        both = [restored(known, networks[d], "one", attack) for attack in ("fff", "nag")]
        expected[s, v, d, "mean_unseen"] = sum(both) / 2
    assert_cells(table, ["sweep", "value", "defense", "attack"], "restoration", expected)


def test_choices_are_judged_by_the_tuning_bank(known: Known) -> None:
    table = known.suite.choices("choices", "two", {"ratio100": {"ratio": 1.0}}, "units2")
    networks = known.suite.variants("two", ["units2", "ratio100"])
    assert_cells(
        table, ["defense", "attack"], "restoration", {(d, "tuning"): restored(known, networks[d], "two", "tuning") for d in networks}
    )
    assert list(table.defense) == ["undefended", "units2", "ratio100"]
    assert table.setting.fillna("").tolist() == ["", "", "{'ratio': 1.0}"]


@pytest.mark.parametrize("clip", [False, True])
def test_clipping_stands_beside_its_opposite(known: Known, clip: bool) -> None:
    table2 = known.suite.own_banks(2, ["uap", "random_signs"], clip=clip)
    table = known.suite.clipping("clip", table2.assign(paper=0.5), clip=clip, xi=None)
    cells = [(n, d, c) for n in NAMES for d in DEFENSES for c in (False, True)]
    expected = {(n, d, c): known.top1(known.suite.defended[n][d], n, "uap", clip=c) for n, d, c in cells}
    assert expected[cells[0]] != expected[cells[1]]
    assert_cells(table, ["network", "defense", "clip"], "accuracy", expected)
    assert set(table.attack) == {"uap"}
    assert "paper" not in table.columns


def test_the_table_of_banks_by_hand(known: Known) -> None:
    table = known.suite.bank_table(["uap", "uap_l2"], "two", ["xi120"])
    assert list(zip(table.network, table.bank, strict=True)) == [(n, b) for n in NAMES for b in ("uap", "uap_l2")] + [("two", "xi120")]
    row = table.iloc[0]
    assert (row.attack, row["count"], row.norm, row.xi, row.passes) == ("uap", 3, math.inf, 60.0, 4)
    assert (row.xi_measured, row.l2) == pytest.approx((60.0, 60.0 * 12))  # 144 values of 60 each
    assert (row.fooling_own, row.fooling_own_min) == pytest.approx((0.6, 0.5))
    for name in NAMES:
        ratios = members_fooled(known, name, known.banks[name, "uap"].perturbations)
        own = table[(table.network == name) & (table.bank == "uap")].iloc[0]
        assert (own.fooling_unseen, own.fooling_unseen_min) == pytest.approx((sum(ratios) / 3, min(ratios)))
    assert max(ratios) > min(ratios)
    v = known.banks["one", "uap"].perturbations.flatten(1)
    cosines = [abs(float(v[i] @ v[j])) / float(v[i].norm() * v[j].norm()) for i in range(3) for j in range(i)]
    assert row.cosine_max == pytest.approx(max(cosines), rel=1e-5)
    known_ones = known.banks["one", "train"].perturbations.flatten(1)
    closest = [max(abs(float(a @ b)) / float(a.norm() * b.norm()) for b in known_ones) for a in v]
    assert row.cosine_train == pytest.approx(sum(closest) / 3, rel=1e-5)
    left = [np.linalg.lstsq(known_ones.T.double().numpy(), a.double().numpy(), rcond=None)[1].item() for a in v]  # outside of the span
    assert row.span_train == pytest.approx(sum(1 - r / float(a.double() @ a.double()) for r, a in zip(left, v, strict=True)) / 3, rel=1e-5)


def test_a_bank_of_unequal_members_has_their_mean_l2_norm(known: Known) -> None:
    """Norms 3, 4 and 11 by hand; xi is measured by the largest value."""
    v = torch.zeros(3, 1, 12, 12)
    v[0, 0, 0, 0], v[1, 0, 1, 1], v[2, 0, 2, :2] = 3, -4, torch.tensor([60.5**0.5, 60.5**0.5])
    unequal = Bank(v, Threat(math.inf, 60.0), "uap", "one", known.banks["one", "uap"].network_hash, 0, (0.5, 0.5, 0.5))
    row = summarise(unequal, known.networks["one"], known.images, said(known.networks["one"], known.images.pixels))
    assert (row["l2"], row["xi_measured"]) == pytest.approx((6.0, 60.5**0.5))


def test_a_bank_without_history_took_one_pass(known: Known) -> None:
    bank = known.banks["one", "uap"]
    bare = Bank(bank.perturbations, bank.threat, "random_signs", "one", bank.network_hash, 0, bank.fooling)
    clean = said(known.networks["one"], known.images.pixels)
    assert summarise(bare, known.networks["one"], known.images, clean)["passes"] == 1


def test_another_networks_bank_is_refused(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table reads a network's bank with that network's weights in hand."""
    monkeypatch.setattr(known.suite, "models", {"one": known.networks["two"]})
    with pytest.raises(StudyError, match="made for other weights"):
        known.suite.bank("one", "uap")
