"""Noise masking against brute force, and its table."""

import pytest
import torch
from torch import Tensor, nn

from regen_lib.attacks.random_signs import random_signs
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.inference import predict
from regen_lib.core.perturbations import Threat
from regen_lib.core.surgery import find_conv
from regen_lib.regeneration.masking import ORDERS, masked_predictions, order_filters
from regen_lib.study.tables.masking import masking_table, restored
from tests.conftest import draw, rng


def perturbed_predictions(network: nn.Module, images: Images, v: Tensor, choice: Tensor) -> Tensor:
    return network(images.pixels.float() + v[choice]).argmax(1)


def test_masking_nothing_and_everything(network: nn.Module, images: Images) -> None:
    v, choice = draw(2, 1, 12, 12) * 40, torch.arange(48) % 2
    nothing = masked_predictions(network, "conv1_1", torch.tensor([], dtype=torch.long), images.pixels, v, choice)
    assert torch.equal(nothing, perturbed_predictions(network, images, v, choice))
    everything = masked_predictions(network, "conv1_1", torch.arange(4), images.pixels, v, choice)
    assert torch.equal(everything, predict(network, images.pixels))
    assert not torch.equal(nothing, everything)


def test_masking_some_against_brute_force(network: nn.Sequential, images: Images) -> None:
    v, channels = draw(1, 1, 12, 12) * 40, torch.tensor([2, 0])
    names = list(dict(network.named_children()))
    cut = names.index("conv2_1") + 1
    x = images.pixels.float()
    mixed = network[:cut](x + v)
    mixed[:, channels] = network[:cut](x)[:, channels]
    found = masked_predictions(network, "conv2_1", channels, images.pixels, v, torch.zeros(48, dtype=torch.long))
    assert torch.equal(found, network[cut:](mixed).argmax(1))


@pytest.mark.parametrize("channels", [[0, 99], [-1]])
def test_filters_that_are_not_there(network: nn.Module, images: Images, channels: list[int]) -> None:
    with pytest.raises(StudyError, match="conv1_1 has the filters 0 to 3"):
        masked_predictions(network, "conv1_1", torch.tensor(channels), images.pixels, draw(1, 1, 12, 12), torch.zeros(48, dtype=torch.long))


def test_orders_of_filters(network: nn.Module) -> None:
    conv = find_conv(network, "conv3_1")
    orders = {order: order_filters(conv, order, rng()) for order in ORDERS}
    assert torch.equal(orders["ranked"], orders["reversed"].flip(0))
    assert sorted(orders["random"].tolist()) == list(range(conv.out_channels))
    with pytest.raises(StudyError, match="choose one of ranked"):
        order_filters(conv, "sorted", rng())


def test_masking_table_and_what_it_restores(network: nn.Module, images: Images) -> None:
    bank = random_signs(network, images.pixels, Threat(float("inf"), 60.0), seed=0, count=2)
    table = masking_table("net", network, ["conv1_1", "conv2_1"], [0.0, 0.5, 1.0], images, bank, seed=0)
    assert len(table) == 2 * 3 * 3
    full = table[table.fraction == 1.0]
    assert (full.accuracy == full.clean).all()
    by_hand = table[(table.depth == 1) & (table.order == "random")].set_index("fraction").accuracy
    share = (by_hand[0.5] - by_hand[0.0]) / (by_hand[1.0] - by_hand[0.0])
    assert restored(table, 0.5).set_index("order").restored["random"] == pytest.approx(share)
