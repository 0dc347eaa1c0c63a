"""A network is what it computes, not how it is written: each form gives what the plain one gives, or says why not."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune
from torch.nn.utils import weight_norm as weight_norm_by_hook

from regen_lib import attacks
from regen_lib.attacks._shared.activations import activations, convolutions
from regen_lib.core.depth import at_depth, named, parts, upto
from regen_lib.core.errors import StudyError
from regen_lib.core.inference import predict
from regen_lib.core.perturbations import Threat
from regen_lib.core.storage import weights_hash
from regen_lib.core.surgery import find_conv, view
from regen_lib.networks import build
from regen_lib.networks.blocks import Task
from regen_lib.regeneration.masking import masked_predictions
from regen_lib.regeneration.ranking import filter_norms, noise_bound, observed_noise, rank
from regen_lib.regeneration.unit import regenerate, units
from tests.conftest import draw, rng

INF = Threat(math.inf, 40.0, 1.0)
PIXELS = torch.randint(0, 256, (16, 3, 15, 13), generator=rng(1), dtype=torch.uint8)  # odd sizes
MEAN, STD = torch.tensor([120.0, 110.0, 100.0]).view(1, 3, 1, 1), torch.tensor([60.0, 58.0, 56.0]).view(1, 3, 1, 1)
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


class Scale(nn.Module):
    """Normalisation under a name of its own, without attributes."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - MEAN) / STD


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model = make()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(draw(module.num_features) * 0.1)
            module.running_var.copy_(draw(module.num_features, seed=1).exp())
            module.bias.data.copy_(draw(module.num_features, seed=2) * 0.3)
    return model.eval().requires_grad_(False)


def layers(*, inplace: bool = False) -> list[nn.Module]:
    """Convolution, ReLU; convolution, BN, ReLU; a convolution with nothing after it."""
    first, second = [nn.Conv2d(3, 6, 3), nn.ReLU(inplace)], [nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace)]
    return [*first, *second, nn.Conv2d(6, 8, 3, 2), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 5)]


def plain() -> nn.Module:
    return seeded(lambda: nn.Sequential(Scale(), *layers()))


class Functional(nn.Module):
    """The same without modules: convolutions of parameters, BN by hand, ReLU in each of its spellings."""

    def __init__(self, source: nn.Module) -> None:
        super().__init__()
        self.w = nn.ParameterList([source[index].weight for index in (1, 3, 6)])
        self.b = nn.ParameterList([source[index].bias for index in (1, 3, 6)])
        self.norm, self.last = source[4], source[9]

    def forward(self, x: Tensor) -> Tensor:
        x = (x - MEAN) / STD
        x = F.conv2d(x, self.w[0], self.b[0]).clamp(min=0)
        x = F.batch_norm(
            F.conv2d(x, self.w[1], self.b[1], padding=1),
            self.norm.running_mean,
            self.norm.running_var,
            self.norm.weight,
            self.norm.bias,
            eps=self.norm.eps,
        )
        x = torch.conv2d(x.relu_(), self.w[2], self.b[2], stride=2)
        return self.last(F.adaptive_avg_pool2d(x, 2).flatten(1))


class Zoo(nn.Module):
    """A zoo's form: `normalize` is torchvision's transform, the network stands under another name, its features are kept."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.normalize = torchvision.transforms.Normalize((MEAN / 255).flatten().tolist(), (STD / 255).flatten().tolist())
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        self.features = self.body[:6](self.normalize(x / 255))
        return self.body[6:](self.features)


def body(network: nn.Module) -> nn.Sequential:
    return nn.Sequential(*list(network.children())[1:])


def compiled(network: nn.Module) -> nn.Module:
    made = torch.compile(network, backend="eager")
    assert isinstance(made, nn.Module)
    return made


FORMS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "ReLU in place": lambda n: load(seeded(lambda: nn.Sequential(Scale(), *layers(inplace=True))), n),
    "normalised outside": lambda n: nn.Sequential(Scale(), body(n)),
    "wrapped twice": lambda n: nn.Sequential(nn.Identity(), nn.Sequential(n)),
    "zoo": lambda n: Zoo(nn.Sequential(*list(n.children())[1:])),
    "DataParallel": nn.DataParallel,
    "compiled": lambda n: compiled(n),
    "compiled inside": lambda n: nn.Sequential(Scale(), compiled(body(n))),
    "functional": Functional,
}


def load(network: nn.Module, source: nn.Module) -> nn.Module:
    network.load_state_dict(source.state_dict())
    return network


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("form", FORMS)
def test_attacks_see_through_the_form(form: str, name: str) -> None:
    """The zoo divides by 255 on the way, so its signs may differ where a gradient is next to nothing."""
    network = plain()
    written = FORMS[form](copy.deepcopy(network)).eval()
    options, other = OPTIONS[name], {}
    if form == "functional" and name == "singular_fool":
        with pytest.raises(StudyError, match="layer 'conv1' is not in the network"):
            attacks.find(name)(written, PIXELS, INF, seed=0, count=2, layers=("conv1",), iterations=2)
        return
    if form == "wrapped twice" and name == "singular_fool":
        other = {"depths": (5 / 11, 7 / 11)}  # the identity before it is a part too
    expected = attacks.find(name)(network, PIXELS, INF, seed=0, count=2, **options)
    found = attacks.find(name)(written, PIXELS, INF, seed=0, count=2, **{**options, **other})
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
    """What an activation function does not follow at once: a sum in place, a fixed filter, a gate; and one that is no ReLU."""

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
        return d.flatten(1)[:, :4]


def test_what_counts_as_an_activation() -> None:
    with torch.no_grad():
        network, x = seeded(Odd), draw(2, 3, 5, 5)
        a = network.a(x)
        b = F.gelu(network.b(F.conv2d((a + x).relu(), network.blur, padding=1, groups=3)) * 2 + network.shift)
        c = network.c(b)
        with activations(network) as seen:
            network(x)
        expected = [a, b, c, network.d(c * c.sigmoid())]
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
    "vgg16": {"width": 0.1, "hidden": 0, "batch_norm": True},
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
    assert parts(wrapped)[1:] == children
    stem = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(x))))
    assert torch.equal(upto(resnet, *at_depth(resnet, x, 0.5))(x), resnet.layer1(stem))
    assert torch.equal(upto(wrapped, *named(wrapped, "1.conv1"))(x), resnet.conv1(x))
    vgg = seeded(lambda: torchvision.models.vgg11(weights=None, num_classes=10))
    assert parts(vgg)[: len(vgg.features)] == list(vgg.features)
    assert torch.equal(upto(vgg, *at_depth(vgg, x, 0.15))(x), vgg.features[: round(0.15 * len(parts(vgg)))](x))


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
    assert upto(network, *at_depth(network, x, 0.6))(x).shape == (16, 3, 15, 13)
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
        self.all = {"features": [self.features]}
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
