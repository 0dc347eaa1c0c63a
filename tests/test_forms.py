"""A network is what it computes, not how it is written: each form gives what the plain one gives, or says why not."""

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from regen_lib import attacks, defenses
from regen_lib.attacks._shared.activations import activations
from regen_lib.core.depth import at_depth, named, parts, upto
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.inference import logits, predict
from regen_lib.core.layers import convolutions
from regen_lib.core.perturbations import Threat
from regen_lib.defenses._shared.base import TrainingData
from regen_lib.defenses.feature_denoising import NonLocal, feature_denoising
from regen_lib.networks import build
from regen_lib.networks.blocks import Task
from tests.conftest import draw
from tests.forms import FORMS, INF, PIXELS, Functional, Scale, Zoo, layers, plain, seeded

OPTIONS: dict[str, dict[str, Any]] = {
    "uap": {"passes": 1, "batch": 4},
    "spgd": {"passes": 3, "batch": 4},
    "sga": {"passes": 3, "batch": 4, "inner": 2, "repeats": 1},
    "fff": {"steps": 6, "check": 3},
    "gd_uap": {"steps": 6, "check": 3, "batch": 4, "prior": "range"},
    "gap": {"passes": 1, "batch": 4},
    "nag": {"passes": 1, "batch": 4},
    "singular_fool": {"iterations": 3, "batch": 4, "depths": (0.4, 0.6)},
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("form", FORMS)
def test_attacks_see_through_the_form(form: str, name: str) -> None:
    """The zoo divides by 255 on the way, so its signs may differ where a gradient is next to nothing."""
    network = plain()
    written = FORMS[form](copy.deepcopy(network)).eval()
    options = OPTIONS[name]
    if form == "functional" and name == "singular_fool":
        with pytest.raises(StudyError, match="of the network's modules that run, of which there is 1: write its operations as modules"):
            attacks.find(name)(written, PIXELS, INF, seed=0, count=2, **options)
        return
    expected = attacks.find(name)(network, PIXELS, INF, seed=0, count=2, **options)
    found = attacks.find(name)(written, PIXELS, INF, seed=0, count=2, **options)
    close = ((expected.perturbations - found.perturbations).abs() < 1e-2 * INF.xi).float().mean()
    assert close > (0.9 if form == "zoo" else 0.995)
    assert expected.network_hash == found.network_hash or form not in ("DataParallel", "compiled", "ReLU in place")


@pytest.mark.parametrize("form", FORMS)
def test_convolutions_and_activations_by_hand(form: str) -> None:
    network = plain()
    written, x = FORMS[form](copy.deepcopy(network)).eval(), PIXELS.float()
    steps = [x]
    for layer in network:
        steps.append(layer(steps[-1]).clone())
    assert torch.allclose(written(x), steps[-1], atol=1e-4)
    for watch, places in ((convolutions, (2, 4, 7)), (activations, (3, 6, 7))):
        with watch(written) as seen:
            written(x)
            written(x)  # the list is of the last forward
            assert len(seen) == 3
            for found, place in zip(seen, places, strict=True):
                torch.testing.assert_close(found, steps[place], rtol=1e-4, atol=1e-4)


class Odd(nn.Module):
    """What an activation function does not follow at once: a sum in place, a fixed filter, values set; one that is no ReLU; a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Conv2d(3, 3, 1) for _ in range(4))
        self.register_buffer("blur", torch.ones(3, 1, 3, 3) / 9)
        self.shift = nn.Parameter(draw(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        a += x
        a = F.relu(a, True)
        b = F.gelu(self.b(F.conv2d(a, self.blur, padding=1, groups=3)) * 2 + self.shift)
        c = self.c(b)
        c = c * c.sigmoid()
        d = self.d(c)
        d[:, 0] = 0
        return d.relu().flatten(1)[:, :4]


def test_what_counts_as_an_activation() -> None:
    with torch.no_grad():
        network, x = seeded(Odd), draw(2, 3, 5, 5)
        a = network.a(x)
        b = F.gelu(network.b(F.conv2d((a + x).relu(), network.blur, padding=1, groups=3)) * 2 + network.shift)
        c = network.c(b)
        with activations(network) as seen:
            network(x)
        expected = [a, b, c * c.sigmoid(), network.d(c * c.sigmoid())]
        assert len(seen) == 4
        for found, true in zip(seen, expected, strict=True):
            torch.testing.assert_close(found, true)


@pytest.mark.parametrize("what", ["fff", "none", "range"])
@pytest.mark.parametrize("form", ["normalised outside", "zoo", "functional"])
def test_the_carrier_is_of_the_images_colours(form: str, what: str) -> None:
    network, seen = FORMS[form](plain()).eval(), []
    network.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].detach()))
    bright = PIXELS // 4 + 190
    options = {"steps": 1, "check": 1} if what == "fff" else {"steps": 1, "check": 1, "batch": 8, "prior": what}
    seen.clear()
    attacks.find("fff" if what == "fff" else "gd_uap")(network, bright, Threat(math.inf, 5.0), seed=0, count=1, **options)
    carriers = [x for x in seen if len(x) in (1, 8) and not torch.equal(x, x.round())]
    assert float(carriers[0].mean()) == pytest.approx(float(bright.float().mean()), abs=12)


@pytest.mark.parametrize("attack", ["fff", "nag"])
def test_a_network_without_convolutions_is_named(attack: str) -> None:
    network = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(585, 8), nn.ReLU(), nn.Linear(8, 5)))
    with pytest.raises(StudyError, match="no 2d convolution"):
        attacks.find(attack)(network, PIXELS, INF, seed=0, count=2, **OPTIONS[attack])


STUDY: dict[str, dict[str, Any]] = {  # as in the default study, so that its banks stay what they are
    "caffenet": {"width": 0.25, "stem": (5, 2), "hidden": 32},
    "vgg_f": {"width": 0.25, "stem": (5, 2), "hidden": 32},
    "googlenet": {"width": 0.25, "stem": (5, 2), "stem_pool": False, "modules": ("3a", "4a", "5a"), "batch_norm": True},
    "vgg16": {"width": 0.1, "hidden": None, "batch_norm": True},
    "resnet152": {"width": 0.1875, "stem": (5, 2), "stem_pool": False, "depths": (1, 1, 1, 1)},
}


@pytest.mark.parametrize("name", STUDY)
def test_depth_counts_the_top_level_parts_of_a_sequential(name: str) -> None:
    network = seeded(lambda: build(name, Task((3, 64, 64), 5, (100.0,) * 3, (60.0,) * 3), **STUDY[name]))
    assert parts(network) == list(network.children())
    x = draw(1, 3, 64, 64) * 60 + 100
    for depth in (0.01, 0.15, 0.25, 0.5, 1.0):
        expected = network[: max(2, round(depth * len(network)))](x)
        assert torch.equal(upto(network, *at_depth(network, x, depth))(x), expected)


def test_depth_of_other_networks() -> None:
    """A residual network's parts are its stages, whatever is around it; a long `features` is counted part by part."""
    resnet = seeded(lambda: torchvision.models.resnet18(weights=None, num_classes=10))
    children, x = list(resnet.children()), torch.rand(2, 3, 64, 64)
    assert parts(resnet) == children
    wrapped = nn.DataParallel(nn.Sequential(nn.Identity(), resnet))
    assert parts(wrapped) == children
    stem = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(x))))
    assert torch.equal(upto(resnet, *at_depth(resnet, x, 0.5))(x), resnet.layer1(stem))
    assert torch.equal(upto(wrapped, *named(wrapped, "1.conv1"))(x), resnet.conv1(x))
    vgg = seeded(lambda: torchvision.models.vgg11(weights=None, num_classes=10))
    assert parts(vgg)[: len(vgg.features)] == list(vgg.features)
    assert torch.equal(upto(vgg, *at_depth(vgg, x, 0.15))(x), vgg.features[: round(0.15 * len(parts(vgg)))](x))


class FewModules(nn.Module):
    """Two or three of its operations are modules."""

    def __init__(self, *, two: bool) -> None:
        super().__init__()
        self.conv1, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 5)
        self.conv2 = nn.Conv2d(8, 8, 3) if two else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x / 255).relu()
        return self.fc((x if self.conv2 is None else self.conv2(x)).mean((2, 3)))


@pytest.mark.parametrize("depth", [0.01, 0.15, 0.25, 0.5, 0.97, 1.0])
def test_no_depth_but_one_is_the_networks_output(depth: float) -> None:
    """Nor does a functional network with one module have depths at all."""
    x = PIXELS[:2].float()
    with pytest.raises(StudyError, match=f"depth {depth} is of the network's modules that run, of which there is 1: write"):
        at_depth(Functional(plain()).eval(), x, depth)
    one, two = (seeded(partial(FewModules, two=two)) for two in (False, True))
    for network, output in ((one, depth < 1), (two, depth == 0.97)):
        if output:
            with pytest.raises(StudyError, match=f"depth {depth} reaches the last of the [23] modules of the network that run, its output"):
                at_depth(network, x, depth)
        else:
            assert at_depth(network, x, depth) == (network.fc if depth == 1 else network.conv2, 0)
    assert torch.equal(upto(one, *named(one, "conv1"))(x), one.conv1(x / 255))


DEFENSES: dict[str, dict[str, Any]] = {
    "jpeg": {},
    "feature_distillation": {},
    "pixel_deflection": {},
    "feature_norm_clipping": {},
    "prn": {"options": {"maps": 4, "blocks": 1}, "recipe": {"epochs": 1, "rate": 0.01, "batch": 8}},
    "hgd": {"options": {"width": 4}, "training": {"guide": "features"}, "recipe": {"epochs": 1, "rate": 0.01, "batch": 8}},
    "adversarial_training": {"training": {"epsilon": 8, "steps": 1}, "recipe": {"epochs": 1, "rate": 0.01, "batch": 8}},
    "feature_denoising": {"training": {"epsilon": 8, "steps": 1}, "recipe": {"epochs": 1, "rate": 0.01, "batch": 8}},
}
BANK = attacks.find("random_signs")(nn.Sequential(nn.Flatten(), nn.Linear(585, 5)), PIXELS, INF, seed=0, count=2)


@pytest.mark.parametrize("name", DEFENSES)
def test_defences_see_through_a_relu_in_place(name: str) -> None:
    network = plain()
    found = []
    for form in (network, FORMS["ReLU in place"](network)):
        training_data = TrainingData(Images(PIXELS, torch.arange(16) % 5), BANK, ("1", "3"))
        defended = defenses.make(name, form, DEFENSES[name], training_data, seed=0)
        found.append(torch.cat(list(logits(defended, PIXELS))))
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-3)


def denoised(network: nn.Module) -> nn.Module:
    return feature_denoising(network.eval(), shape=(3, 15, 13)).model


def blocks(network: nn.Module) -> list[tuple[str, int]]:
    """Where the blocks are, and on how many maps."""
    return [(name, module.mix.in_channels) for name, module in denoised(network).named_modules() if isinstance(module, NonLocal)]


def test_denoising_blocks_go_where_they_go_in_the_plain_form() -> None:
    """15 x 13 pixels are few enough for a block, which no form has on the image."""
    network, features = plain(), nn.Sequential(*list(plain().children())[1:7])
    assert blocks(network) == [("5.1", 6), ("6.1", 8), ("7.1", 8)]
    assert blocks(FORMS["normalised outside"](network)) == [("1.4.1", 6), ("1.5.1", 8), ("1.6.1", 8)]
    assert blocks(FORMS["wrapped twice"](network)) == [("1.0.5.1", 6), ("1.0.6.1", 8), ("1.0.7.1", 8)]
    assert blocks(FORMS["DataParallel"](network)) == [("module.5.1", 6), ("module.6.1", 8), ("module.7.1", 8)]
    assert blocks(nn.Sequential(Scale(), features, *list(network.children())[7:])) == [("1.4.1", 6), ("1.5.1", 8), ("2.1", 8)]
    relu = nn.ReLU()
    assert blocks(nn.Sequential(Scale(), nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 8, 3), relu, nn.Flatten(), nn.Linear(792, 5))) == [
        ("2.1", 4),
        ("4.1", 8),
    ]


@pytest.mark.parametrize("normalize", [Scale, lambda: nn.BatchNorm2d(3)])
def test_no_denoising_block_goes_on_the_image(normalize: Callable[[], nn.Module]) -> None:
    with pytest.raises(StudyError, match=r"is a Sequential: blocks go between the parts of an nn\.Sequential"):
        denoised(nn.Sequential(normalize(), Zoo(nn.Sequential(*layers()))))


@pytest.mark.parametrize(
    ("name", "network", "said"),
    [
        ("pixel_deflection", nn.Sequential(nn.Flatten(), nn.Linear(585, 5)), "runs no 2d convolution that can be seen"),
        ("feature_denoising", Zoo(nn.Sequential(*layers())).eval(), "is a Zoo: blocks go between the parts"),
        ("prn_det", nn.Sequential(nn.Flatten(), nn.Linear(585, 5)), "square images, these are 15 x 13"),
        (
            "democratic_training",
            nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            "runs no linear layer that can be seen",
        ),
    ],
)
def test_defences_say_what_a_network_lacks(name: str, network: nn.Module, said: str) -> None:
    options = {} if name == "prn_det" else {"epsilon": 8}
    spec = DEFENSES.get(name, {"training": options, "recipe": {"epochs": 1, "rate": 0.01, "batch": 8}})
    training_data = TrainingData(Images(PIXELS, torch.arange(16) % 5), BANK, ("0",))
    with pytest.raises(StudyError, match=said):
        predict(defenses.make(name, network, spec, training_data, seed=0), PIXELS)
