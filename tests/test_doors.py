"""What a stranger gets wrong at other doors than an attack's: said at once, with the remedy."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regen_lib as rl
from regen_lib.attacks._shared.activations import activations
from regen_lib.core import contract
from regen_lib.core.errors import StudyError, StudyWarning
from regen_lib.core.surgery import layer_inputs
from regen_lib.defenses._shared.base import TrainingData
from regen_lib.regeneration.calibration import calibrate
from regen_lib.regeneration.synthesis import synthesize, walk
from tests.conftest import draw, rng

RECIPE = rl.Recipe(epochs=1, rate=0.01, batch=8)


class InPlace(nn.Module):
    """A network whose first operation writes into its input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x.div_(255)).mean((2, 3)))


@pytest.mark.parametrize("gradients", [True, False])
def test_a_network_that_writes_into_its_images_is_refused(images: rl.Images, gradients: bool) -> None:
    with pytest.raises(StudyError, match=r"^the network writes into the images that it is given: make its first"):
        contract.network(InPlace().eval(), images.pixels, gradients=gradients)


def test_looking_at_a_layer_leaves_the_images_as_they_are(images: rl.Images) -> None:
    x = images.pixels.float()
    seen = layer_inputs(InPlace().eval(), ["conv"], x)["conv"]
    assert x.equal(images.pixels.float())
    torch.testing.assert_close(seen, x / 255)


def test_a_network_on_another_device_is_named() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(144, 4)).to("meta")
    with pytest.raises(StudyError, match=r"it lies on meta, the images on cpu: call regen_lib.start\(\) first"):
        contract.network(network, torch.zeros(2, 1, 12, 12, dtype=torch.uint8) + 9)


def test_units_are_kept_with_what_made_them(tmp_path: Path, network: nn.Module) -> None:
    layers, path = ["conv1_1", "conv3_1"], tmp_path / "units.safetensors"
    defended = rl.regenerate(network, layers, ratio=0.5, width=2.0, generator=rng())
    for wrong in ({"width": 1.0}, {"ratio": 1.0}, {"layers": ["conv1_1"]}, {"layers": ["conv1_1", "conv2_1"]}, {"defended": network}):
        given = {"defended": defended, "layers": layers, "ratio": 0.5, "width": 2.0} | wrong
        with pytest.raises(StudyError, match=r"the units are not those of layers .* give what made them"):
            rl.save_units(path, given.pop("defended"), network=network, **given)
        assert not path.exists()
    rl.save_units(path, defended, network=network, layers=layers, ratio=0.5, width=2.0)
    assert torch.equal(rl.load_units(path, network)(draw(2, 1, 12, 12)), defended(draw(2, 1, 12, 12)))


@pytest.mark.parametrize(
    ("v", "said"),
    [
        (draw(1, 12, 12), r"perturbations of shape \(1, 12, 12\): give one or more, \[K, C, H, W\]"),
        (draw(2, 1, 12, 12) / 0, "with NaN or infinity"),
        (draw(2, 1, 12, 12).double(), "perturbations of torch.float64"),
        (draw(0, 1, 12, 12), "give one or more"),
        ("a bank", "perturbations are a str: give a tensor"),
    ],
)
def test_walks_take_perturbations_alone(v: Tensor, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        walk(v, 4, rng=rng())
    with pytest.raises(StudyError, match=said):
        synthesize(v, walk(draw(3, 1, 12, 12), 2, rng=rng(), eta_scale=0.5))


@pytest.mark.parametrize("eta_scale", [0.0, -1.0, 1.5, math.nan])
def test_eta_is_a_share_of_the_smallest_norm(eta_scale: float) -> None:
    with pytest.raises(StudyError, match=r"walk: eta_scale is .*: give a number above 0 and at most 1"):
        walk(draw(3, 1, 12, 12), 4, rng=rng(), eta_scale=eta_scale)


def test_masking_takes_indices(network: nn.Module, images: rl.Images) -> None:
    with pytest.raises(StudyError, match=r"channels \[0\]: give a tensor of int64, indices of filters of conv1_1"):
        rl.masked_predictions(network, "conv1_1", [0], images.pixels, draw(1, 1, 12, 12))
    first = torch.zeros(len(images), dtype=torch.long)
    v, filters = draw(2, 1, 12, 12) * 50, torch.tensor([0])
    expected = rl.masked_predictions(network, "conv1_1", filters, images.pixels, v, first)
    assert rl.masked_predictions(network, "conv1_1", filters, images.pixels, v).equal(expected)


def test_calibration_needs_units(network: nn.Module, images: rl.Images) -> None:
    with pytest.raises(StudyError, match="has no units to calibrate"):
        calibrate(network, images.pixels)


def test_a_defence_takes_images_and_a_bank(network: nn.Module, images: rl.Images, training_data: TrainingData) -> None:
    with pytest.raises(StudyError, match=r"a Tensor in the place of Bank: give regen_lib.Bank"):
        rl.defend("jpeg", network, images, training_data.bank.perturbations)
    with pytest.raises(StudyError, match=r"a Tensor in the place of Images: give regen_lib.Images"):
        rl.defend("jpeg", network, images.pixels, training_data.bank)


def test_perturbations_to_train_on_are_of_pixels(network: nn.Module, images: rl.Images) -> None:
    with pytest.raises(StudyError, match="the perturbations to train on are all zero"):
        rl.train_units(network, images, torch.zeros(2, 1, 12, 12), ["conv1_1"], recipe=RECIPE)
    with pytest.warns(StudyWarning, match=r"at most 0.\d+ pixels of 0-255: if they are for images in \[0, 1\], give v \* 255"):
        rl.train_units(network, images, draw(2, 1, 12, 12).clamp(-1, 1) * 0.9, ["conv1_1"], recipe=RECIPE)


def test_images_of_zeros_and_ones_are_warned_of(network: nn.Module, images: rl.Images) -> None:
    with pytest.warns(StudyWarning, match="hold 0 and 1 alone"):
        rl.predict(network, (images.pixels > 128).byte())


class Standardized(nn.Module):
    """A convolution with standardised weights that is no ``nn.Conv2d``."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(draw(4, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, (self.weight - self.weight.mean()) / self.weight.std())


def test_a_convolution_of_its_own_is_seen() -> None:
    network = nn.Sequential(Standardized(), nn.ReLU(), nn.Conv2d(4, 2, 3)).requires_grad_(False)
    with activations(network) as seen:
        x = draw(2, 1, 12, 12)
        network(x)
    assert len(seen) == 2
    assert seen[0].equal(network[1](network[0](x)))


@pytest.mark.parametrize(
    "activate",
    [
        lambda h: torch.maximum(h, torch.zeros(())),
        lambda h: h.masked_fill(h < 0, 0),
        lambda h: F.max_pool2d(h, 2).relu(),
        lambda h: F.pad(h, [1, 1, 1, 1]).relu(),
        lambda h: h.flatten(2).relu(),
    ],
)
def test_activations_are_seen_after_pooling_and_in_other_spellings(activate: object) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return activate(self.conv(x)).flatten(1).mean(1)

    network = Net()
    with activations(network) as seen:
        network(draw(2, 1, 12, 12))
    assert float(seen[0].min()) >= 0
