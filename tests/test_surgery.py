"""Convolutions that run twice, change their weight, or keep what they gave: ranked, masked and regenerated, or refused."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune
from torch.nn.utils import weight_norm as weight_norm_by_hook

from regen_lib.core.depth import at_depth, upto
from regen_lib.core.errors import StudyError
from regen_lib.core.inference import predict
from regen_lib.core.layers import convolutions
from regen_lib.core.storage import weights_hash
from regen_lib.core.surgery import find_conv, view
from regen_lib.regeneration.masking import masked_predictions
from regen_lib.regeneration.ranking import filter_norms, noise_bound, observed_noise, rank
from regen_lib.regeneration.unit import regenerate, units
from tests.conftest import draw, rng
from tests.forms import FORMS, PIXELS, Functional, plain, seeded


class Twice(nn.Module):
    """One convolution that runs twice, under two names; and one ReLU for all."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()
        self.again, self.last = self.conv, nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.relu(self.again(self.relu(self.conv(x / 64)))).mean((2, 3)))


def test_a_convolution_that_runs_twice() -> None:
    network, x = seeded(Twice), PIXELS.float()
    second = network.conv(network.relu(network.conv(x / 64)))
    assert torch.equal(upto(network, *at_depth(network, x, 0.6))(x), second)
    defended = regenerate(network, ["conv"], generator=rng())
    assert defended.conv is defended.again
    unit = units(defended)["conv"]
    once = network.relu(unit(network.conv(x / 64)))
    torch.testing.assert_close(defended(x), network.last(network.relu(unit(network.conv(once))).mean((2, 3))))
    v, every, choice = torch.randn(1, 3, 15, 13, generator=rng()) * 60, torch.arange(3), torch.zeros(16, dtype=torch.long)
    assert torch.equal(masked_predictions(network, "conv", every, PIXELS, v, choice), predict(network, PIXELS))
    with pytest.raises(StudyError, match="runs 2 times in a forward"):
        observed_noise(network, ["conv"], PIXELS, v)


class Standardised(nn.Conv2d):
    """Weight standardisation in forward, as in BiT and many diffusion networks."""

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight
        return self._conv_forward(x, (w - w.mean((1, 2, 3), keepdim=True)) / w.std((1, 2, 3), keepdim=True), self.bias)


class Padded(nn.Conv2d):
    """Another way to have a forward of one's own."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(F.pad(x, (1, 0, 1, 0)), weight * 2, bias)


@pytest.mark.parametrize("kind", [Standardised, Padded])
def test_a_convolution_with_a_forward_of_its_own_is_not_ranked(kind: type[nn.Conv2d]) -> None:
    network = seeded(lambda: nn.Sequential(kind(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)))
    refused: list[Callable[[], object]] = [
        lambda: rank(network[0]),
        lambda: noise_bound(network[0], torch.ones(1, 3, 5, 5)),
        lambda: observed_noise(network, ["0"], PIXELS, torch.ones(1, 3, 15, 13)),
        lambda: regenerate(network, ["0"], generator=rng()),
    ]
    for ask in refused:
        with pytest.raises(StudyError, match="has a forward of its own"):
            ask()
    clean = masked_predictions(network, "0", torch.arange(8), PIXELS, draw(1, 3, 15, 13) * 60, torch.zeros(16, dtype=torch.long))
    assert torch.equal(clean, predict(network, PIXELS))  # masking looks at outputs alone


def normalised(conv: nn.Conv2d) -> nn.Conv2d:
    """Weight normalisation whose magnitudes say another rank than the weight that it began with."""
    made = weight_norm_by_hook(conv)
    made.weight_g.data = torch.arange(1.0, 9).view(-1, 1, 1, 1)
    return made


def parametrised(conv: nn.Conv2d) -> nn.Conv2d:
    made = parametrizations.weight_norm(conv)
    made.parametrizations.weight.original0.data = torch.arange(1.0, 9).view(-1, 1, 1, 1)
    return made


def pruned(conv: nn.Conv2d) -> nn.Conv2d:
    made = prune.identity(conv, "weight")
    made.weight_mask[:4] = 0
    return made


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", [normalised, parametrised, pruned, nn.utils.spectral_norm])
def test_the_weight_that_counts_is_the_one_in_use(kind: Callable[[nn.Conv2d], nn.Conv2d]) -> None:
    """Seen from outside: the kernel is the response to single pixels."""
    network = seeded(lambda: nn.Sequential(kind(nn.Conv2d(3, 8, 3)), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)))
    found = filter_norms(network[0])
    before = network[0].bias
    network[0].bias = None
    impulses = torch.eye(27).view(27, 3, 3, 3)
    torch.testing.assert_close(found, network[0](impulses).flatten(1).abs().sum(0))
    network[0].bias = before
    noise, bound = observed_noise(network, ["0"], PIXELS, v := draw(1, 3, 15, 13) * 20)["0"]
    x = PIXELS.float()
    torch.testing.assert_close(noise, (network[0](x + v) - network[0](x)).abs().flatten(2).amax(2), rtol=1e-3, atol=1e-3)
    assert (noise <= bound * (1 + 1e-4)).all()


class Overwrites(nn.Module):
    """A ReLU in place on what a convolution has just read."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 5, 3), nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = x - 128
        y = self.conv(x).mean((2, 3))
        return y + self.last(x.relu_().mean((2, 3)))


def test_noise_at_an_input_that_is_overwritten() -> None:
    network, v = seeded(Overwrites), draw(1, 3, 15, 13) * 20
    noise, _ = observed_noise(network, ["conv"], PIXELS, v)["conv"]
    x = PIXELS.float() - 128
    torch.testing.assert_close(noise, (network.conv(x + v) - network.conv(x)).abs().flatten(2).amax(2), rtol=1e-3, atol=1e-3)


class Keeps(nn.Module):
    """Keeps tensors of its last forward, alone and in containers, as code for class-activation maps does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 8, 3), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        self.features = self.conv(x).relu()
        self.all = {"features": [self.features * 2]}
        return self.last(self.features.mean((2, 3)))


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", ["keeps", "weight norm"])
def test_networks_that_keep_what_has_a_history_are_regenerated_and_copied(kind: str) -> None:
    if kind == "keeps":
        network, layer = Keeps(), "conv"
    else:
        network, layer = nn.Sequential(weight_norm_by_hook(nn.Conv2d(3, 8, 3)), nn.Flatten(), nn.Linear(8 * 13 * 11, 10)), "0"
    network(PIXELS.float())
    defended = regenerate(network.eval(), [layer], residual=0.0, generator=rng())
    copied = copy.deepcopy(defended)
    x = PIXELS.float()
    torch.testing.assert_close(defended(x), network(x))
    assert torch.equal(copied(x), defended(x))


def test_a_view_shares_weights_and_nothing_else() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    seen = view(network)
    assert weights_hash(seen) == weights_hash(network)
    network[0].weight.data += 1
    network[1].running_mean += 1
    assert weights_hash(seen) == weights_hash(network)
    assert [module.training for module in network.modules()] == [True] * 3
    assert not any(module.training for module in seen.modules())
    assert all(p.requires_grad for p in network.parameters())
    assert not any(p.requires_grad for p in seen.parameters())


def test_a_network_without_convolution_modules_says_so() -> None:
    with pytest.raises(StudyError, match=r"it has no nn.Conv2d: make its convolutions such modules"):
        find_conv(Functional(plain()), "w")


def test_units_and_masks_in_wrapped_networks() -> None:
    """The layers go by the wrapper's names."""
    network, v = plain(), draw(1, 3, 15, 13) * 60
    choice, channels = torch.zeros(16, dtype=torch.long), torch.arange(4)
    expected = regenerate(network, ["1"], generator=rng())(PIXELS.float())
    masked = masked_predictions(network, "3", channels, PIXELS, v, choice)
    noise = observed_noise(network, ["3"], PIXELS, v)["3"]
    for form, prefix in (("DataParallel", "module."), ("compiled", "_orig_mod."), ("wrapped twice", "1.0.")):
        written = FORMS[form](copy.deepcopy(network)).eval()
        torch.testing.assert_close(regenerate(written, [f"{prefix}1"], generator=rng())(PIXELS.float()), expected)
        assert torch.equal(masked_predictions(written, f"{prefix}3", channels, PIXELS, v, choice), masked)
        found = observed_noise(written, [f"{prefix}3"], PIXELS, v)[f"{prefix}3"]
        for one, other in zip(found, noise, strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", [normalised, parametrised])
def test_a_convolution_whose_weight_is_computed_is_seen(kind: Callable[[nn.Conv2d], nn.Conv2d]) -> None:
    network = seeded(lambda: nn.Sequential(kind(nn.Conv2d(3, 8, 3)), nn.ReLU()))
    with convolutions(network) as seen:
        network(PIXELS.float())
        torch.testing.assert_close(seen[0], network[0](PIXELS.float()))
