"""What callers bring along: settings of torch, hooks, networks that call their layers in ways of their own."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

import regen_lib as rl
from regen_lib.core.surgery import reached, with_replaced
from regen_lib.regeneration.masking import Masked
from regen_lib.regeneration.ranking import filter_norms, observed_noise
from tests.conftest import rng

PIXELS = torch.randint(0, 256, (16, 3, 12, 12), generator=rng(1), dtype=torch.uint8)
IMAGES = rl.Images(PIXELS, torch.arange(16) % 5)
RECIPE = rl.Recipe(epochs=1, rate=0.01, batch=8)
THREAT = rl.Threat(math.inf, 40.0, 1.0)
FOLLOWING: dict[str, dict[str, Any]] = {
    "fff": {"steps": 4, "check": 2},
    "gd_uap": {"steps": 4, "check": 2, "batch": 4},
    "gap": {"passes": 1, "batch": 4},
    "nag": {"passes": 1, "batch": 4},
    "spgd": {"passes": 3, "batch": 4},
}


def linear() -> nn.Sequential:
    """A convolution, a mean and five classes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)).eval()


@pytest.mark.parametrize("attack", FOLLOWING)
def test_attacks_of_a_caller_without_gradients(attack: str) -> None:
    def bank() -> Tensor:
        made: rl.Bank = getattr(rl, attack)(linear(), PIXELS, THREAT, seed=0, count=2, **FOLLOWING[attack])
        return made.perturbations

    expected = bank()
    with torch.no_grad():
        assert torch.equal(bank(), expected)
        assert not torch.is_grad_enabled()
    with torch.inference_mode(), pytest.raises(rl.StudyError, match=r"outside torch\.inference_mode\(\)"):
        bank()


def test_warnings_name_the_callers_line() -> None:
    with pytest.warns(rl.StudyWarning) as warned:
        rl.spgd(linear(), PIXELS, THREAT, seed=0, count=2, passes=1, batch=4)
    assert {Path(found.filename) for found in warned if found.category is rl.StudyWarning} == {Path(__file__)}


def test_training_of_a_caller_without_gradients() -> None:
    def losses() -> list[float]:
        network = linear()
        return rl.fit(network, [network], IMAGES, RECIPE, seed=0, name="t")

    expected = losses()
    with torch.no_grad():
        assert losses() == expected


@pytest.fixture
def doubles() -> Iterator[None]:
    """A caller who works in float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("doubles")
def test_another_precision_by_default_is_named() -> None:
    with pytest.raises(rl.StudyError, match=r"torch makes torch\.float64 by default.*set_default_dtype\(torch\.float32\)"):
        rl.spgd(linear().float(), PIXELS, THREAT, seed=0, count=2, passes=1, batch=4)


def test_the_first_images_may_have_no_gradient() -> None:
    """Black images leave a network without biases at zero."""
    pixels = PIXELS.clone()
    pixels[:4] = 0
    assert len(rl.spgd(linear(), pixels, THREAT, seed=0, count=1, passes=3, batch=16)) == 1
    with pytest.raises(rl.StudyError, match="gradient at the images is zero everywhere"):
        rl.spgd(linear(), torch.zeros_like(pixels), THREAT, seed=0, count=2, passes=3, batch=4)


def test_heads_that_only_training_has_are_named() -> None:
    model = torchvision.models.googlenet(weights=None, init_weights=False, num_classes=5)
    network = rl.from_pixels(model, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    images = rl.Images(torch.randint(0, 256, (8, 3, 64, 64), generator=rng(1), dtype=torch.uint8), torch.arange(8) % 5)
    said = r"gives a GoogLeNetOutputs: .* in train mode too"
    with pytest.raises(rl.StudyError, match=said):
        rl.fit(network, [network], images, RECIPE, seed=0, name="t")
    bank = rl.random_signs(network, images.pixels, THREAT, seed=0, count=2)
    for defense in ("adversarial_training", "universal_adversarial_training"):
        with pytest.raises(rl.StudyError, match=said):
            rl.defend(defense, network, images, bank, recipe=RECIPE, epsilon=8)


class Stacked(nn.Module):
    """Calls one or both of its convolutions from a list of its own, which other modules in their place do not enter."""

    def __init__(self, *listed: str) -> None:
        super().__init__()
        self.conv1, self.conv2, self.unused = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(3, 4, 3)
        self.last = nn.Linear(4, 5)
        self.calls = [self.get_submodule(name) if name in listed else name for name in ("conv1", "conv2")]

    def forward(self, x: Tensor) -> Tensor:
        for called in self.calls:
            x = (self.get_submodule(called) if isinstance(called, str) else called)(x).relu()
        return self.last(x.mean((2, 3)))


@pytest.mark.parametrize(("listed", "layer"), [(("conv1",), "conv1"), (("conv2",), "conv2"), ((), "unused")])
def test_units_and_masks_that_would_do_nothing_are_refused(listed: tuple[str, ...], layer: str) -> None:
    network, v = Stacked(*listed).eval(), torch.full((1, 3, 12, 12), 40.0)
    bank = rl.random_signs(network, PIXELS, THREAT, seed=0, count=2)
    said = f"does not pass through '{layer}'"
    with pytest.raises(rl.StudyError, match=said):
        rl.train_units(network, IMAGES, bank, [layer], recipe=RECIPE, synthetic=4)
    with pytest.raises(rl.StudyError, match=said):
        rl.masked_predictions(network, layer, torch.arange(4), PIXELS, v)
    rest = [name for name in ("conv1", "conv2") if name not in listed]
    rl.train_units(network, IMAGES, bank, rest, recipe=RECIPE, synthetic=4)


def test_layers_that_are_called_pass() -> None:
    network = Stacked().eval()
    masked = with_replaced(network, {"conv1": Masked(network.conv1, torch.arange(2))})
    reached(masked, ["conv1", "conv2"], torch.zeros(2, 3, 12, 12))
    assert not masked.conv1._forward_hooks


class Keyword(nn.Module):
    """Calls its convolution by the name of the argument."""

    def __init__(self, network: nn.Sequential) -> None:
        super().__init__()
        self.conv, self.rest = network[0], network[1:]

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.rest(self.conv(input=x))
        return logits


def test_a_convolution_called_by_keyword_is_one() -> None:
    plain, v = linear(), torch.randn(1, 3, 12, 12, generator=rng(2)) * 40
    network, channels = Keyword(plain).eval(), torch.arange(3)
    assert torch.equal(rl.masked_predictions(network, "conv", channels, PIXELS, v), rl.masked_predictions(plain, "0", channels, PIXELS, v))
    noise, expected = observed_noise(network, ["conv"], PIXELS, v)["conv"], observed_noise(plain, ["0"], PIXELS, v)["0"]
    assert all(map(torch.equal, noise, expected))
    bank = rl.random_signs(network, PIXELS, THREAT, seed=0, count=2)
    clipped = rl.defend("feature_norm_clipping", network, IMAGES, bank, layers=["conv"])
    assert torch.equal(clipped(PIXELS.float()), rl.defend("feature_norm_clipping", plain, IMAGES, bank, layers=["0"])(PIXELS.float()))


@pytest.mark.parametrize("count", [3, 16])
def test_noise_is_that_of_one_perturbation(count: int) -> None:
    with pytest.raises(rl.StudyError, match=f"{count} perturbations: the noise is that of one"):
        observed_noise(linear(), ["0"], PIXELS, torch.ones(count, 3, 12, 12))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_convolution_with_a_hook_is_not_ranked(when: str) -> None:
    network, v = linear(), torch.ones(1, 3, 12, 12)
    expected = filter_norms(network[0])
    register = network[0].register_forward_pre_hook if when == "before" else network[0].register_forward_hook
    handle = register(lambda module, *_: None)
    for call in (lambda: filter_norms(network[0]), lambda: observed_noise(network, ["0"], PIXELS, v)):
        with pytest.raises(rl.StudyError, match=r"has a hook .*: remove the hook first"):
            call()
    handle.remove()
    assert torch.equal(filter_norms(network[0]), expected)


@pytest.mark.filterwarnings("ignore")
def test_a_copy_of_a_traced_module_is_not_trained() -> None:
    network = nn.Sequential(torch.jit.trace(linear(), PIXELS.float()))
    bank = rl.random_signs(network, PIXELS, THREAT, seed=0, count=2)
    with pytest.raises(rl.StudyError, match="computed from others"):
        rl.defend("adversarial_training", network, IMAGES, bank, recipe=RECIPE, epsilon=8)
