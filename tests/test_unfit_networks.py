"""Networks whose logits, units or masks would not be what they seem: refused by name."""

import pytest
import torch
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.core.inference import predict
from regen_lib.regeneration.masking import masked_predictions
from regen_lib.regeneration.unit import regenerate, units
from regen_lib.training.loop import fit
from regen_lib.training.recipe import Recipe
from tests.conftest import rng
from tests.test_contract import DOORS, IMAGES, attack, small, state


def batch_dependent() -> nn.Sequential:
    network = small().eval()
    network[1] = nn.BatchNorm2d(8, track_running_stats=False).eval()
    return network


@pytest.mark.parametrize("door", DOORS)
def test_batch_normalisation_of_the_batch_is_refused_by_name(door: str) -> None:
    """An image's logits would be others in another batch."""
    network, x = batch_dependent(), IMAGES.pixels.float()
    assert not torch.allclose(network(x)[:4], network(x[:4]))
    with pytest.raises(StudyError, match=r"batch normalisation '1' has no running statistics.*track_running_stats=True"):
        DOORS[door](network, IMAGES)


def test_units_and_wrapped_networks_need_running_statistics_too() -> None:
    with pytest.raises(StudyError, match="batch normalisation '1' has no running statistics"):
        regenerate(batch_dependent(), ["0"], generator=rng())
    with pytest.raises(StudyError, match="batch normalisation '1' has no running statistics"):
        predict(nn.DataParallel(batch_dependent()), IMAGES.pixels)


class Stubborn(nn.Module):
    """Its batch normalisation is in train mode in any case."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small()

    def train(self, mode: bool = True) -> "Stubborn":
        super().train(mode)
        self.inner[1].train()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def test_batch_normalisation_that_stays_in_train_mode_is_refused_by_name() -> None:
    """It would change with every image that an attack shows it."""
    network = Stubborn().eval()
    before = state(network)
    for door in (
        lambda: predict(network, IMAGES.pixels),
        lambda: attack("spgd", network),
        lambda: regenerate(network, ["inner.0"], generator=rng()),
    ):
        with pytest.raises(StudyError, match=r"batch normalisation 'inner.1' stays in train mode"):
            door()
    assert state(network) == before


class ByHand(nn.Module):
    """Convolves with the weights of a convolution that it never calls."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 8, 3), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(nn.functional.conv2d(x, self.conv.weight, self.conv.bias).relu().mean((2, 3)))


def test_units_and_masks_do_not_pass_by_a_functional_convolution() -> None:
    network, v = ByHand().eval(), torch.ones(1, 3, 12, 12)
    defended = regenerate(network, ["conv"], generator=rng())
    for use in (
        lambda: predict(defended, IMAGES.pixels),
        lambda: fit(defended, units(defended).values(), IMAGES, Recipe(1, 0.01, batch=8), seed=0, name="t"),
        lambda: masked_predictions(network, "conv", torch.tensor([0]), IMAGES.pixels, v, torch.zeros(16, dtype=torch.long)),
    ):
        with pytest.raises(StudyError, match=r"convolves with the weight of a convolution that it does not call.*self.conv\(x\)"):
            use()


def test_training_what_the_network_does_not_run_is_refused() -> None:
    network = small().eval()
    with pytest.raises(StudyError, match="the loss does not depend on what is trained"):
        fit(network, [nn.Linear(2, 2)], IMAGES, Recipe(1, 0.01, batch=8), seed=0, name="t")
