"""The contract at the door: what breaks it is refused with the remedy, and a network is left as it came."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regen_lib import attacks, defenses
from regen_lib.attacks.random_signs import random_signs
from regen_lib.core import contract
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.inference import predict
from regen_lib.core.perturbations import Threat
from regen_lib.core.storage import weights_hash
from regen_lib.defenses._shared.base import TrainingData
from regen_lib.evaluation.evaluate import evaluate
from regen_lib.regeneration.masking import masked_predictions
from regen_lib.regeneration.ranking import observed_noise
from regen_lib.regeneration.unit import regenerate, units
from regen_lib.training.loop import fit
from regen_lib.training.recipe import Recipe
from tests.conftest import rng
from tests.small_attacks import OPTIONS

INF = Threat(math.inf, 40.0, 1.0)
IMAGES = Images(torch.randint(0, 256, (16, 3, 12, 12), generator=rng(1), dtype=torch.uint8), torch.arange(16) % 5)


def small(*, bias: float = 1.0) -> nn.Sequential:
    """Five classes; everything that behaves differently in train mode is in it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(8, 8, 3), nn.ReLU()
        model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 5))
    model[1].running_mean.fill_(bias)
    model[1].running_var.fill_(900.0)
    return model


def state(network: nn.Module) -> tuple[object, ...]:
    """All that a door might leave changed."""
    flags = [module.training for module in network.modules()], [p.requires_grad for p in network.parameters()]
    return weights_hash(network), *flags, [p.grad is None for p in network.parameters()]


def attack(name: str, network: nn.Module, images: Images = IMAGES, **options: Any) -> Any:
    return attacks.find(name)(network, images.pixels, INF, seed=0, count=2, **OPTIONS[name], **options)


def training_data() -> TrainingData:
    return TrainingData(IMAGES, random_signs(small().eval(), IMAGES.pixels, INF, seed=0, count=2), ("0",))


def evaluated(network: nn.Module, images: Images) -> object:
    clean, bank = {"undefended": images.labels}, training_data().bank
    return evaluate("1", "n", {"undefended": network}, clean, {"signs": bank}, images, seed=0)


def masked(network: nn.Module, images: Images) -> object:
    v, choice = torch.ones(1, *images.pixels.shape[1:]), torch.zeros(16, dtype=torch.long)
    return masked_predictions(network, "0", torch.tensor([0]), images.pixels, v, choice)


def fitted(network: nn.Module, images: Images) -> object:
    return fit(network, [network], images, Recipe(1, 0.01, batch=8), seed=0, name="t")


Door = Callable[[nn.Module, Images], object]
MEASURES: dict[str, Door] = {
    "predict": lambda network, images: predict(network, images.pixels),
    "evaluate": evaluated,
    "masking": masked,
    "noise": lambda network, images: observed_noise(network, ["0"], images.pixels, torch.ones(1, *images.pixels.shape[1:])),
    "defense": lambda network, images: defenses.make("jpeg", network, {}, TrainingData(images, training_data().bank, ("0",)), seed=0),
}
ATTACKS: dict[str, Door] = {name: (lambda network, images, name=name: attack(name, network, images)) for name in OPTIONS}  # type: ignore[misc]
DOORS: dict[str, Door] = {**MEASURES, **ATTACKS, "fit": fitted}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_attack_is_behind_the_door(name: str) -> None:
    found = attacks.find(name)
    assert found.__doc__
    assert list(found.__annotations__)[:3] == ["network", "pixels", "threat"]
    assert {"gradients", "shared"} <= set(vars(found))  # what the door leaves there


WRONG: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "unit": (lambda x: x / 255, r"from 0 to 1: give \(images \* 255\)"),
    "float": (lambda x: x.float(), r"images.round\(\)"),
    "normalised": (lambda x: (x - 120.0) / 60, "undo the normalisation"),
    "nan": (lambda x: x / 0.0 * 0.0, "NaN or infinity"),
    "wide": (lambda x: x.float() * 257, "scale them to 0-255"),
    "int64": (lambda x: x.long(), r"images.to\(torch.uint8\)"),
    "one image": (lambda x: x[0], r"image\[None\]"),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("wrong", WRONG)
def test_images_of_another_kind_are_refused(door: str, wrong: str) -> None:
    change, said = WRONG[wrong]
    with pytest.raises(StudyError, match=said):
        DOORS[door](small().eval(), Images(change(IMAGES.pixels), IMAGES.labels))


@pytest.mark.parametrize("door", [door for door in DOORS if door not in ("evaluate", "defense")])
def test_images_of_other_channels_are_refused(door: str) -> None:
    with pytest.raises(StudyError, match="images of the channels and the size it was made for"):
        DOORS[door](small().eval(), Images(IMAGES.pixels[:, :1], IMAGES.labels))


@pytest.mark.parametrize("door", ["evaluate", "defense"])
def test_perturbations_of_other_images_are_refused(door: str) -> None:
    with pytest.raises(StudyError, match=r"perturbations of shape|images of the channels"):
        DOORS[door](small().eval(), Images(IMAGES.pixels[:, :1], IMAGES.labels))


class Wrap(nn.Module):
    """``small`` with something done to its logits."""

    def __init__(self, change: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.change, self.inner = change, small()
        self.add_module("0", self.inner[0])

    def forward(self, x: Tensor) -> Any:
        return self.change(self.inner(x))


OUTPUTS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "softmax": (lambda z: z.softmax(1), "before its softmax"),
    "tuple": (lambda z: (z, z), "gives a tuple: wrap it"),
    "dict": (lambda z: {"logits": z}, "gives a dict: wrap it"),
    "flat": (lambda z: z[:, 0], r"torch.stack\(\[-z, z\], 1\)"),
    "one": (lambda z: z[:, :1], r"torch.stack\(\[-z, z\], 1\)"),
    "map": (lambda z: z[:, :, None, None], "one row of two or more logits"),
    "nan": (lambda z: z / 0 * 0, "gives NaN or infinity"),
    "double": (lambda z: z.double(), r"gives torch.float64: make it float32"),
}


@pytest.mark.parametrize("door", [door for door in DOORS if door != "noise"])  # which asks for no logits
@pytest.mark.parametrize("output", OUTPUTS)
def test_outputs_that_are_no_logits_are_refused(door: str, output: str) -> None:
    change, said = OUTPUTS[output]
    with pytest.raises(StudyError, match=said):
        DOORS[door](Wrap(change).eval(), IMAGES)


def test_positive_logits_that_sum_to_something_else_are_logits() -> None:
    network = Wrap(lambda z: z.softmax(1) * 2).eval()
    assert torch.equal(predict(network, IMAGES.pixels), network(IMAGES.pixels.float()).argmax(1))


def test_weights_of_another_precision_are_refused() -> None:
    for network in (small().double().eval(), small().half().eval()):
        with pytest.raises(StudyError, match=r"network.float\(\)"):
            predict(network, IMAGES.pixels)


@pytest.mark.parametrize("door", ["evaluate", "fit", "defense"])
@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (IMAGES.labels.int(), r"labels.long\(\)"),
        (IMAGES.labels - 1, "from -1 to 3: they must be 0 to 4"),
        (IMAGES.labels + 1, "from 1 to 5: they must be 0 to 4"),
        (IMAGES.labels[:, None], "one class an image"),
    ],
)
def test_labels_are_classes(door: str, labels: Tensor, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        DOORS[door](small().eval(), Images(IMAGES.pixels, labels))


@pytest.mark.parametrize("door", [door for door in DOORS if door != "fit"])  # which trains it
def test_a_network_in_train_mode_is_run_as_it_predicts_and_put_back(door: str) -> None:
    """With some modules already in evaluation mode and some weights frozen."""
    network, still = small().train(), small().eval().requires_grad_(False)
    network[3].eval()
    network[4].requires_grad_(False)
    before = state(network)
    torch.manual_seed(5)
    found = DOORS[door](network, IMAGES)
    assert state(network) == before
    expected = DOORS[door](still, IMAGES)
    if door in ATTACKS:
        assert torch.equal(found.perturbations, expected.perturbations)
        assert found.network_hash == weights_hash(network)
    elif door == "noise":
        assert torch.equal(found["0"][0], expected["0"][0])
    elif door in ("predict", "masking"):
        assert torch.equal(found, expected)


def test_units_are_trained_and_the_network_is_left_as_it_came() -> None:
    network = small().train()
    before = state(network)
    defended = regenerate(network, ["0"], generator=rng())
    fit(defended, units(defended).values(), IMAGES, Recipe(1, 0.01, batch=8), seed=0, name="t")
    assert state(network) == before
    assert defended.get_submodule("0.conv").weight.data_ptr() == network[0].weight.data_ptr()
    copied = copy.deepcopy(defended)
    assert torch.equal(copied(IMAGES.pixels.float()), defended(IMAGES.pixels.float()))


@pytest.mark.parametrize("door", DOORS)
def test_a_network_that_fails_is_put_back(door: str) -> None:
    network = Wrap(lambda z: z.softmax(1)).train()
    before = state(network)
    if door != "noise":
        with pytest.raises(StudyError):
            DOORS[door](network, IMAGES)
    assert state(network) == before


class Noisy(nn.Module):
    """Draws in every forward, from torch's generator and from its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.rng = small(), rng(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + torch.rand(1) * 1e-3 + torch.rand(1, generator=self.rng) * 1e-3


def test_the_check_draws_nothing() -> None:
    network = Noisy().eval()
    torch.manual_seed(1)
    before = torch.get_rng_state(), network.rng.get_state()
    assert contract.network(network, IMAGES.pixels, gradients=True) == 5
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.equal(network.rng.get_state(), before[1])
