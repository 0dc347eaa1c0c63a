"""What defences cost, and which banks they meet on their home ground."""

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from regen_lib.core.images import Images
from regen_lib.study.tables import costs, home_ground
from regen_lib.study.tables.suite import Suite
from regen_lib.study.tables.verdict import on_every_network, verdict
from tests.suite import LAYERS, NAMES, SEED, Known, said, share


def test_inference_is_relative_to_the_undefended_network(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by hand: bare networks take 2 s, units 6 s, JPEG 5 s, once 50 s, when the machine was busy."""
    spent: list[nn.Module] = []

    def seconds(network: nn.Module, pixels: Tensor) -> float:
        assert len(pixels) == len(known.images)
        spent.append(network)
        kinds = [key for name in NAMES for key, each in known.suite.defended[name].items() if each is network]
        return {"undefended": 2.0, "ours": 6.0, "jpeg": 50.0 if spent.count(network) == 1 else 5.0}[kinds[0]]

    monkeypatch.setattr(costs, "seconds", seconds)
    table = costs.costs(known.suite).set_index(["network", "defense"])
    for name in NAMES:
        assert list(table.loc[name].inference) == [1.0, 3.0, 2.5]
        filters = [known.networks[name].get_submodule(layer).out_channels // 2 for layer in LAYERS]
        weights = [2 * n * n + 18 * n * n + 6 * n for n in filters]  # two 1x1 and two 3x3 convolutions of width N, three BNs
        assert list(table.loc[name].parameters) == [0, sum(weights), 0]


def test_seconds_are_of_the_cpu(monkeypatch: pytest.MonkeyPatch, known: Known) -> None:
    clock = iter([10.0, 13.5])
    monkeypatch.setattr(costs.time, "process_time", lambda: next(clock))
    assert costs.seconds(known.networks["one"], known.images.pixels[:2]) == 3.5


def test_targeted_success_by_a_loop(known: Known) -> None:
    """Images of other classes that the bank turns into class 2, each with the perturbation that it carries in the tables."""
    table = home_ground.home_ground(known.suite, epsilon=8, targeted="nag", towards=2)
    rows = table[table.measure == "targeted success"].set_index(["network", "defense"])
    others = known.images.labels != 2
    for name in NAMES:
        for defense in ("undefended", "ours"):
            v = known.banks[name, "nag"].perturbations
            perturbed = said(known.suite.defended[name][defense], known.images.pixels, v, known.choice("nag", 3))
            assert rows.value[name, defense] == pytest.approx(share((perturbed == 2)[others]))
            assert rows.images[name, defense] == int(others.sum())
    assert set(table.measure) == {"PGD top-1", "targeted success"}  # the suite has no other defence that promises something


def test_a_network_can_have_defenses_of_its_own(known: Known) -> None:
    """Each network's rows are of what it has; clean predictions too."""
    images = Images(known.images.pixels[:40], known.images.labels[:40])
    defenses = {"one": ["undefended", "ours"], "two": ["undefended", "ours", "hardened"]}
    suite = Suite(known.data, NAMES, images, seed=SEED, defenses=defenses)
    assert {name: list(suite.clean[name]) for name in NAMES} == defenses
    everywhere = {(name, defense) for name in NAMES for defense in defenses[name]}
    targeted = home_ground.home_ground(suite, epsilon=8, targeted="nag", towards=2).query("measure == 'targeted success'")
    assert set(zip(targeted.network, targeted.defense, strict=True)) == everywhere - {("two", "hardened")}
    for table in (costs.costs(suite), suite.own_banks(2, ["uap"])):
        assert set(zip(table.network, table.defense, strict=True)) == everywhere


@pytest.mark.parametrize("attack", ["uap", "nag"])
def test_home_ground_draws_as_the_tables_do(known: Known, attack: str) -> None:
    v, choice = home_ground.perturbations_and_choice(known.suite, "two", attack)
    assert torch.equal(v, known.banks["two", attack].perturbations)
    assert torch.equal(choice, known.choice(attack, 3))


def test_the_verdict_over_two_networks_by_hand() -> None:
    rows = [(n, d, a, 0.9 + s, x + s, y + s) for n, s in (("one", 0.0), ("two", 0.05)) for d in ("ours", "prn") for a, x, y in CELLS]
    table = pd.DataFrame(rows, columns=["network", "defense", "attack", "clean_accuracy", "accuracy", "restoration"])
    white = pd.DataFrame([("one", "ours", "spgd", 0.2), ("one", "ours", "sga", 0.1)], columns=["network", "defense", "attack", "accuracy"])
    found = verdict(table, white, ["uap", "fff"]).set_index(["network", "defense"])
    assert list(found.index) == [("one", "ours"), ("one", "prn"), ("two", "ours"), ("two", "prn")]
    assert found.loc[("two", "prn")].drop("white_box").to_dict() == pytest.approx(
        {"clean": 0.95, "mean": 0.45, "worst": 0.35, "restoration": 0.75}
    )
    assert found.white_box["one", "ours"] == 0.1
    assert pd.isna(found.white_box["two", "ours"])


def test_means_are_over_the_same_networks() -> None:
    pairs = [("one", "ours"), ("one", "hardened"), ("two", "ours"), ("two", "prn")]
    table = pd.DataFrame(pairs, columns=["network", "defense"])
    assert list(on_every_network(table).itertuples(index=False, name=None)) == [("one", "ours"), ("two", "ours")]


CELLS = [("uap", 0.5, 0.8), ("fff", 0.3, 0.6), ("uap_l2", 0.1, 0.5)]
