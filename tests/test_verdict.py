"""Notebook 08's condensed tables by hand."""

import math

import pandas as pd
import pytest
import torch
from torch import nn

from regen_lib.defenses.jpeg import jpeg
from regen_lib.regeneration.unit import regenerate
from regen_lib.study.report.defenses_table import built_on, leaders, training_seconds
from regen_lib.study.tables.costs import trained
from regen_lib.study.tables.verdict import verdict
from tests.conftest import draw


def test_verdict_by_hand() -> None:
    rows = [("n", "ours", attack, 0.9, top1, restored) for attack, top1, restored in (("a", 0.5, 0.8), ("b", 0.3, 0.6), ("l2", 0.1, 0.5))]
    columns = ["network", "defense", "attack", "clean_accuracy", "accuracy", "restoration"]
    white = pd.DataFrame([("n", "ours", 0.2), ("n", "ours", 0.1)], columns=["network", "defense", "accuracy"])
    found = verdict(pd.DataFrame(rows, columns=columns), white, ["a", "b"]).iloc[0]
    assert (found.clean, found["mean"], found.worst) == pytest.approx((0.9, 0.4, 0.3))
    assert (found.restoration, found.white_box) == pytest.approx((0.7, 0.1))


def test_leaders_name_three_and_our_place() -> None:
    values = pd.Series({"undefended": 0.99, "ours": 0.1, "prn": 0.4, "hgd": 0.3, "jpeg": 0.2})
    assert leaders(values, "m") == "m: PRN 0.400, HGD 0.300, JPEG 0.200 (ours 0.100, place 4 of 4)"
    assert leaders(values.drop("jpeg"), "m") == "m: PRN 0.400, HGD 0.300, regeneration (ours) 0.100"


def test_training_seconds_are_for_one_network() -> None:
    rows = [("units", "vgg16", 80.0), ("units", "vgg_f", 100.0)]
    rows += [("rivals", "prn", 60.0), ("rivals", "prn_det", 8.0), ("white_box_rivals", "prn", 9.0)]
    rows += [("hardened", "vgg16", 30.0), ("hardened", "vgg_f", 50.0)]
    minutes = pd.DataFrame(rows, columns=["stage", "network", "cpu_seconds"])
    built = built_on({"rivals": {"prn": {"built_on": "networks"}, "prn_det": {"built_on": "defenses/prn"}}})
    assert built == {"prn_det": "prn"}
    seconds = {name: training_seconds(name, minutes, built) for name in ("ours", "hardened", "prn", "prn_det", "undefended")}
    assert seconds == {"ours": 90.0, "hardened": 130.0, "prn": 30.0, "prn_det": 34.0, "undefended": 0.0}  # PRN+det's rectifier is PRN's
    assert math.isnan(training_seconds("hgd", minutes, built))
    assert math.isnan(training_seconds("ours", None, built))


def test_weights_trained_of_ours_and_of_a_transform(network: nn.Module) -> None:
    defended = regenerate(network, ["conv1_1"], ratio=0.5, width=2.0, generator=torch.Generator())
    half = network.conv1_1.out_channels // 2
    width = 2 * half
    convolutions = half * width + 9 * width**2 + 9 * width**2 + width * half
    assert trained(defended) == convolutions + 3 * 2 * width  # and three BNs
    assert trained(jpeg(network)) == 0
    assert defended(draw(2, 1, 12, 12)).shape == (2, 4)
