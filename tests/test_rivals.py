"""What rivals promise, measured on networks whose answers are known; the report's table of all defences by hand."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.perturbations import Bank, Threat
from regen_lib.defenses.prn_det import prn_det
from regen_lib.study.figures import defenses
from regen_lib.study.report import defenses_table
from regen_lib.study.tables import home_ground
from regen_lib.study.tables.verdict import verdict
from tests.conftest import draw, linear_network, rng

EPSILON = 16.0
SHAPE = (1, 6, 6)


def suite(network: nn.Module, *, rival: str = "adversarial_training", defended: nn.Module | None = None, v: Tensor | None = None) -> Any:
    """A suite of one network and one rival: 300 images of two classes, and one perturbation as every bank."""
    images = Images(torch.randint(0, 256, (300, *SHAPE), generator=rng(4), dtype=torch.uint8), torch.arange(300) % 2)
    bank = Bank(torch.zeros(1, *SHAPE) if v is None else v, Threat(math.inf, 60.0, 1.0), "spgd", "n", "hash", 0, (0.5,), (0.5,))
    both = {"undefended": network, rival: defended or network}
    return SimpleNamespace(
        names=["n"], defenses={"n": tuple(both)}, defended={"n": both}, images=images, seed=0, bank=lambda _name, _bank: bank
    )


def measured(found: Any, defense: str, measure: str) -> pd.Series:
    rows = home_ground.home_ground(found, epsilon=EPSILON, targeted="spgd_targeted", towards=1)
    return rows[(rows.defense == defense) & (rows.measure == measure)].iloc[0]


def test_pgd_finds_the_optimum_of_a_linear_network() -> None:
    """An image resists if its margin exceeds epsilon times the l1 norm of the difference of the classes' weights."""
    weight = draw(2, 36, seed=7) * 0.02
    given = suite(linear_network(weight, torch.zeros(2), SHAPE))
    x, y = given.images.pixels.flatten(1).float(), given.images.labels
    toward = weight[y] - weight[1 - y]
    resists = ((toward * x).sum(1) - EPSILON * toward.abs().sum(1)) > 0
    assert 0.05 < float(resists.float().mean()) < 0.6
    assert home_ground.PGD_STEPS == 10  # a linear network's optimum is one step away
    for defense in given.defenses["n"]:
        row = measured(given, defense, "PGD top-1")
        assert row.value == pytest.approx(float(resists.float().mean()))
        assert row.ci_low < row.value < row.ci_high
        assert row.images == 300


def test_targeted_success_leaves_out_the_class_itself() -> None:
    """Brightness decides: at 60 more every image is class 1; as they are, those above the threshold."""
    weight = torch.stack([torch.zeros(36), torch.full((36,), 1 / 36)])
    network = linear_network(weight, torch.tensor([0.0, -127.0]), SHAPE)
    given = suite(network, rival="democratic_training", v=torch.zeros(1, *SHAPE))
    others = given.images.pixels[given.images.labels != 1].float().flatten(1).mean(1) > 127
    assert measured(given, "undefended", "targeted success").value == pytest.approx(float(others.float().mean()))
    pushed = suite(network, rival="democratic_training", v=torch.full((1, *SHAPE), 60.0))
    assert measured(pushed, "democratic_training", "targeted success").value == 1.0


@pytest.mark.parametrize(("bias", "share"), [(1.0, 1.0), (-1.0, 0.0)])
def test_what_the_detector_finds(network: nn.Module, bias: float, share: float) -> None:
    """Without weights it says the same of every image."""
    detector = prn_det(network, channels=1, size=6, maps=4, blocks=1)
    detector.bias.fill_(bias)
    given = suite(linear_network(draw(2, 36), torch.zeros(2), SHAPE), rival="prn_det", defended=detector)
    assert [measured(given, "prn_det", measure).value for measure in ("found", "false alarms")] == [share, share]


def test_found_is_of_perturbed_images_and_alarms_of_clean_ones(network: nn.Module) -> None:
    """A detector that calls an image perturbed where a value is above 255."""
    detector = prn_det(network, channels=1, size=6, maps=4, blocks=1)
    detector.perturbed = lambda x: x.flatten(1).amax(1) > 255
    bright = suite(linear_network(draw(2, 36), torch.zeros(2), SHAPE), rival="prn_det", defended=detector, v=torch.full((1, *SHAPE), 60.0))
    top = bright.images.pixels.flatten(1).amax(1) > 195
    assert measured(bright, "prn_det", "found").value == pytest.approx(float(top.float().mean()))
    assert measured(bright, "prn_det", "false alarms").value == 0.0


class Parity(nn.Module):
    """Says class 0 of every image in even passes over 300 images, class 1 of it in odd ones."""

    seen = 0

    def forward(self, x: Tensor) -> Tensor:
        logits = torch.zeros(len(x), 2)
        logits[:, self.seen // 300 % 2] = 2
        self.seen += len(x)
        return logits


def test_a_random_defence_is_drawn_several_times() -> None:
    given = suite(linear_network(draw(2, 36), torch.zeros(2), SHAPE), rival="pixel_deflection", defended=Parity())
    given.images.labels[:] = torch.arange(300) // 100 % 2  # 200 images of class 0, 100 of class 1
    assert measured(given, "pixel_deflection", "lowest draw").value == pytest.approx(1 / 3)
    assert measured(given, "pixel_deflection", "highest draw").value == pytest.approx(2 / 3)


def table_of_defenses() -> dict[str, pd.DataFrame]:
    """Two networks, three defences, two unseen attacks; undefended .5 and .3 right, ours .8 and .6, PRN .9 and .7; all .9 under UAPs."""
    top1 = {"undefended": (0.5, 0.3), "ours": (0.8, 0.6), "prn": (0.9, 0.7)}
    rows = []
    for network in ("caffenet", "vgg16"):
        for defense, values in top1.items():
            for attack, accuracy in (*zip(("gap", "fff"), values, strict=True), ("uap", 0.9), ("mean_unseen", sum(values) / 2)):
                cell = {"network": network, "defense": defense, "attack": attack, "clean_accuracy": 0.9, "accuracy": accuracy}
                rows.append({**cell, "restoration": (0.9 + accuracy) / 1.8, "ci_low": 0.70, "ci_high": 0.76, "images": 77})
    table = pd.DataFrame(rows)
    white = table[table.attack.isin(["gap", "fff"])].assign(accuracy=lambda rows: rows.accuracy / 2)
    costs = pd.DataFrame(
        [(n, d, 1000, 2.0) for n in ("caffenet", "vgg16") for d in top1], columns=["network", "defense", "parameters", "inference"]
    )
    return {"defenses": table, "table6_defenses": white, "defense_costs": costs}


def test_the_readmes_table_of_defenses_by_hand() -> None:
    """What was met in training, another norm and the control have no part in the means."""
    tables = table_of_defenses()
    others = [tables["defenses"].assign(attack=attack, accuracy=0.0, restoration=0.0) for attack in ("uap_l2", "random_signs")]
    tables["defenses"] = pd.concat([tables["defenses"], *others])
    lines = defenses_table.block(tables, None, {}).splitlines()
    half = 0.03 / math.sqrt(2)  # the mean of two networks' independent intervals
    cells = ["**regeneration (ours)**", "0.900", "1.000", f"0.889 <sub>±{half:.3f}</sub>", "0.700", "0.600", "0.300", "1,000"]
    assert lines[3] == f"| {' | '.join(cells)} | not measured | 2.0 x |"
    assert lines[-1].startswith("77 test images an attack; ± is half of a 95 % interval")
    first = "The first three, by mean restoration under unseen attacks: PRN 0.944, regeneration (ours) 0.889; by mean top-1: PRN 0.800"
    assert first in lines[-1]


def test_without_an_unseen_attack_there_is_no_comparison() -> None:
    tables = table_of_defenses()
    tables["defenses"] = tables["defenses"][tables["defenses"].attack.isin(["uap", "mean_unseen"])]
    with pytest.raises(StudyError, match="did not meet in training"):
        defenses_table.block(tables, None, {})


def test_the_summary_figure_shows_every_defence_of_every_network_where_it_stands() -> None:
    tables = table_of_defenses()
    shown = verdict(tables["defenses"], tables["table6_defenses"], ["gap", "fff"])
    figure = defenses.verdict(shown)
    drawn = [
        {str(line.get_label()): [float(x) for x in np.atleast_1d(line.get_xdata())] for line in axis.get_lines()} for axis in figure.axes
    ]
    titles = ("undefended", "regeneration (ours)", "PRN")
    assert [[axis[title][0] for title in titles] for axis in drawn] == [[0.9, 0.9, 0.9], [0.3, 0.6, 0.7], [0.15, 0.3, 0.35]]
    assert drawn[1]["PRN, each"] == [0.7, 0.7]
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["PRN", "regeneration (ours)", "undefended"]


def with_hardened_vgg16() -> dict[str, pd.DataFrame]:
    """Units that were hardened on one of the two networks, and are better there than all."""
    tables = table_of_defenses()
    for name in ("defenses", "table6_defenses"):
        table = tables[name]
        ours = table[(table.defense == "ours") & (table.network == "vgg16")]
        tables[name] = pd.concat([table, ours.assign(defense="hardened", accuracy=0.95, restoration=0.99)], ignore_index=True)
    return tables


def test_what_some_networks_have_is_in_no_mean_over_networks() -> None:
    """And changes none."""
    tables, before = with_hardened_vgg16(), table_of_defenses()
    assert defenses_table.block(tables, None, {}) == defenses_table.block(before, None, {})
    drawn, expected = (defenses.restorations(each["defenses"]).axes[0] for each in (tables, before))
    assert [text.get_text() for text in drawn.texts] == [text.get_text() for text in expected.texts]
    assert [tick.get_text() for tick in drawn.get_yticklabels()] == [tick.get_text() for tick in expected.get_yticklabels()]


def test_what_some_networks_have_has_a_row_and_no_mean() -> None:
    tables = with_hardened_vgg16()
    figure = defenses.verdict(verdict(tables["defenses"], tables["table6_defenses"], ["gap", "fff"]))
    for axis in figure.axes:
        drawn = {line.get_label(): np.atleast_1d(line.get_xdata()) for line in axis.get_lines()}
        assert "ours, iterative training" not in drawn
        assert len(drawn["ours, iterative training, each"]) == 1
    assert "ours, iterative training" in [tick.get_text() for tick in figure.axes[0].get_yticklabels()]


def test_the_map_of_restorations_holds_the_means_over_networks() -> None:
    axis = defenses.restorations(table_of_defenses()["defenses"]).axes[0]
    assert [text.get_text() for text in axis.texts] == [
        "0.78",
        "0.67",
        "1.00",
        "0.72",
        "0.94",
        "0.83",
        "1.00",
        "0.89",
        "1.00",
        "0.89",
        "1.00",
        "0.94",
    ]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["undefended", "regeneration (ours)", "PRN"]
