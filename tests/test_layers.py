"""The last layer is the one that runs last, whatever the order in which a network's attributes are set, and however it is written."""

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regen_lib import attacks, defenses
from regen_lib.attacks._shared.activations import activations
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
    "pixel_deflection": {},
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
    return [seeded(partial(Permuted, order)) for order in ORDERS]


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
            assert torch.equal(robust_map(network, x), robust_map(permuted[0], x))


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
    torch.testing.assert_close(robust_map(written, x), robust_map(network, x), rtol=1e-3, atol=1e-3)


def test_a_network_that_runs_no_such_layer_is_named(permuted: list[nn.Module]) -> None:
    """Though it has one."""

    class Other(Permuted):
        def forward(self, x: Tensor) -> Tensor:
            return (x.flatten(1)[:, :5] + 1) * 2

    network, x = seeded(lambda: Other(NAMES)), draw(2, 3, 8, 8)
    with pytest.raises(StudyError, match="runs no linear layer that can be seen"):
        features(network, x)
    with pytest.raises(StudyError, match="runs no 2d convolution that can be seen"):
        robust_map(network, x)
    with last_linear(permuted[0]) as seen:
        permuted[0](PIXELS.float())
        assert seen[0].shape == (16, 16)


def set_to_zero(z: Tensor) -> Tensor:
    z = z.clone()
    z[z < 0] = 0
    return z


Function = Callable[[Tensor], Tensor]
SPELLINGS: dict[str, tuple[Function, Function, float]] = {  # a function, one that gives the same, and how much more is seen of that
    "clip": (F.relu, lambda z: z.clip(min=0), 1),
    "in place": (F.relu, lambda z: z.clone().clip_(0), 1),
    "max": (F.relu, lambda z: torch.max(z, torch.zeros_like(z)), 1),
    "max by name": (F.relu, lambda z: torch.max(input=torch.zeros(()), other=z), 1),
    "min": (lambda z: z.clamp(max=1), lambda z: torch.min(z, torch.ones(())), 1),
    "where": (F.relu, lambda z: torch.where(z > 0, z, torch.zeros_like(z)), 1),
    "method where": (F.leaky_relu, lambda z: z.where(z > 0, 0.01 * z), 1),
    "mask": (F.relu, lambda z: z * (z > 0), 1),
    "mask of floats": (F.relu, lambda z: (z > 0).float() * z, 1),
    "set": (F.relu, set_to_zero, 1),
    "absolute": (F.relu, lambda z: (z + z.abs()) / 2, 2),
    "h-swish": (F.hardswish, lambda z: z * F.relu6(z + 3) / 6, 6),
    "h-swish by its gate": (F.hardswish, lambda z: z * (F.relu6(z + 3) / 6), 1),
    "swish": (F.silu, lambda z: z * z.sigmoid(), 1),
    "mish": (F.mish, lambda z: z * F.softplus(z).tanh(), 1),
    "gelu": (F.gelu, lambda z: 0.5 * z * (1 + torch.erf(z / math.sqrt(2))), 1),
}


class Activated(nn.Module):
    """Two convolutions with the same activation function."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.conv1, self.conv2, self.fc, self.function = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 5), function

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.function(self.conv2(self.function(self.conv1((x - 120) / 60)))).mean((2, 3)))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_activation_function_is_what_it_computes(spelling: str) -> None:
    function, written, factor = SPELLINGS[spelling]
    one, other = (seeded(partial(Activated, made)) for made in (function, written))
    with activations(one) as expected, torch.no_grad():
        one(PIXELS.float())
    with activations(other) as found, torch.no_grad():
        other(PIXELS.float())
    assert len(found) == len(expected) == 2
    for seen, true in zip(found, expected, strict=True):
        torch.testing.assert_close(seen, factor * true, rtol=1e-4, atol=1e-5)
    signs = [attacks.find("fff")(n, PIXELS, INF, seed=0, count=1, steps=10, check=10).perturbations.sign() for n in (one, other)]
    assert float((signs[0] == signs[1]).float().mean()) > 0.995


def test_no_activation_function_is_what_it_only_looks_like() -> None:
    """Images that are masked from outside, a channel's gate, and the largest value of all."""
    network, x = seeded(lambda: Activated(lambda z: z)), PIXELS.float()
    for function in (lambda z: z.where(torch.arange(z.shape[3]) > 2, 0), lambda z: z * z.mean((2, 3), keepdim=True).sigmoid(), torch.max):
        network.function = lambda z, function=function: function(z) + torch.zeros_like(z)
        with activations(network) as seen, torch.no_grad():
            network(x)
            torch.testing.assert_close(seen[0], network.conv1((x - 120) / 60))
