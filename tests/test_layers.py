"""The last layer is the one that runs last, whatever the order in which a network's attributes are set, and however it is written."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regen_lib import attacks, defenses
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.layers import last_convolution, last_linear
from regen_lib.defenses._shared.base import TrainingData
from regen_lib.defenses.democratic_training import features
from regen_lib.defenses.pixel_deflection import robust_map
from tests.conftest import draw
from tests.forms import FORMS, INF, PIXELS, plain, seeded

NAMES = ("conv1", "conv2", "fc1", "fc2", "unused")
ORDERS = (NAMES, NAMES[::-1], ("fc2", "conv2", "unused", "fc1", "conv1"))
LAST: dict[str, dict[str, Any]] = {  # what looks at the last layer, and how it is called
    "democratic_training": {"training": {"epsilon": 8, "steps": 1}, "recipe": {"epochs": 1, "rate": 0.01, "batch": 8}},
    "hgd": {"options": {"width": 4}, "training": {"guide": "features"}, "recipe": {"epochs": 1, "rate": 0.01, "batch": 8}},
}


class Permuted(nn.Module):
    """Two convolutions and two linear layers, set in any order; a linear layer and a convolution that do not run are set, too."""

    def __init__(self, order: tuple[str, ...]) -> None:
        super().__init__()
        made = {"conv1": nn.Conv2d(3, 8, 3), "conv2": nn.Conv2d(8, 8, 3), "fc1": nn.Linear(32, 16), "fc2": nn.Linear(16, 5)}
        made["unused"] = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Linear(2, 2))
        for name in order:
            setattr(self, name, made[name])

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(self.conv1((x - 120) / 60).relu()).relu()
        return self.fc2(self.fc1(F.adaptive_avg_pool2d(x, 2).flatten(1)).relu())


@pytest.fixture(scope="module")
def permuted() -> list[nn.Module]:
    return [seeded(lambda order=order: Permuted(order)) for order in ORDERS]


def test_features_are_of_the_layers_that_run_last(permuted: list[nn.Module]) -> None:
    x = PIXELS.float()
    with torch.no_grad():
        convolved = permuted[0].conv2(permuted[0].conv1((x - 120) / 60).relu())
        hidden = permuted[0].fc1(F.adaptive_avg_pool2d(convolved.relu(), 2).flatten(1)).relu()
        for network in permuted:
            assert torch.equal(features(network, x), hidden)
            with last_convolution(network) as seen:
                network(x)
            assert len(seen) == 1
            assert torch.equal(seen[0], convolved)


@pytest.mark.parametrize("name", LAST)
def test_defences_do_not_depend_on_the_order_of_attributes(permuted: list[nn.Module], name: str) -> None:
    bank = attacks.find("random_signs")(permuted[0], PIXELS, INF, seed=0, count=2)
    data = TrainingData(Images(PIXELS, torch.arange(16) % 5), bank, ())
    found = [defenses.make(name, network, LAST[name], data, seed=0)(PIXELS.float()) for network in permuted]
    assert all(torch.equal(found[0], other) for other in found[1:])


def test_nag_does_not_depend_on_the_order_of_attributes(permuted: list[nn.Module]) -> None:
    found = [attacks.find("nag")(network, PIXELS, INF, seed=0, count=2, passes=1, batch=4).perturbations for network in permuted]
    assert all(torch.equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("form", FORMS)
def test_the_last_layers_of_other_forms(form: str) -> None:
    network, x = plain(), PIXELS.float()
    written = FORMS[form](copy.deepcopy(network)).eval()
    torch.testing.assert_close(features(written, x), features(network, x), rtol=1e-4, atol=1e-4)
    if form != "functional":
        torch.testing.assert_close(robust_map(written, x), robust_map(network, x), rtol=1e-3, atol=1e-3)


def test_a_network_that_runs_no_such_layer_is_named(permuted: list[nn.Module]) -> None:
    """Though it has one."""

    class Other(Permuted):
        def forward(self, x: Tensor) -> Tensor:
            return (x.flatten(1)[:, :5] + 1) * 2

    network, x = seeded(lambda: Other(NAMES)), draw(2, 3, 8, 8)
    with pytest.raises(StudyError, match="runs no linear layer that can be seen"):
        features(network, x)
    with pytest.raises(StudyError, match=r"runs no nn\.Conv2d"):
        robust_map(network, x)
    with last_linear(permuted[0]) as seen:
        permuted[0](PIXELS.float())
        assert seen[0].shape == (16, 16)
