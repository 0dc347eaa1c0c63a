"""Table 6 and Fig. 6: attackers who know the defence, against loops over a study made by hand."""

import pytest

from regen_lib.core.perturbations import load_bank
from regen_lib.study.tables.white_box import curves, white_box
from tests.suite import HISTORY, Known, said, share

DEFENSES = ["undefended", "ours", "hardened"]


@pytest.mark.parametrize("name", ["one", "two"])
def test_each_defence_meets_the_banks_made_against_itself(known: Known, name: str) -> None:
    table = white_box(known.suite, 6, name, DEFENSES, ["spgd", "uap"])
    assert list(zip(table.defense, table.attack, strict=True)) == [(d, a) for d in DEFENSES for a in ("spgd", "uap")]
    networks = known.suite.variants(name, ["ours", "hardened"])
    for row in table.itertuples(index=False):
        network = networks[row.defense]
        v = load_bank(known.data / "white_box" / row.defense / name / f"{row.attack}.safetensors").perturbations
        perturbed = said(network, known.images.pixels, v, known.choice(row.attack, 2))
        assert row.accuracy == pytest.approx(share(perturbed == known.images.labels))
        assert row.fooling_ratio == pytest.approx(share(perturbed != said(network, known.images.pixels)))
        assert row.clean_accuracy == pytest.approx(share(known.hits(network)))
        assert row.metric == "accuracy"
    assert table.accuracy.nunique() > 3


def test_effort_is_of_the_strongest_restart(known: Known) -> None:
    """By hand: members fooled .5 and .6; four passes at .1, .4, .3, .6, so the second half gained .2."""
    table = white_box(known.suite, 6, "one", ["ours"], ["spgd", "uap"])
    assert list(table.fooling_own) == [0.6, 0.6]
    assert list(table.passes) == [4, 4]
    assert list(table.late_gain) == pytest.approx([0.2, 0.2])


def test_fig_6_counts_passes_from_one(known: Known) -> None:
    table = curves(known.suite, "two", ["undefended", "hardened"], "uap")
    expected = [("two", d, i + 1, HISTORY[i]) for d in ("undefended", "hardened") for i in range(4)]
    assert list(table[["network", "defense", "passes", "fooling"]].itertuples(index=False, name=None)) == expected


def test_a_defence_outside_of_the_suite_is_built_when_it_is_asked_for(known: Known) -> None:
    assert "hardened" not in known.suite.defended["one"]
    assert known.suite.with_defense("one", "ours") is known.suite.defended["one"]["ours"]
    x = known.images.pixels.float()
    assert bool((known.suite.with_defense("one", "hardened")(x) == known.suite.variants("one", ["hardened"])["hardened"](x)).all())
