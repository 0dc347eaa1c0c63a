"""The unit against the authors' layers written out with permutations; where it may sit; its scale."""

import copy
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images, as_input
from regen_lib.networks.blocks import initialise
from regen_lib.regeneration.calibration import calibrate
from regen_lib.regeneration.files import load_units, save_units
from regen_lib.regeneration.ranking import rank
from regen_lib.regeneration.unit import Regenerated, Unit, first_layers, gather_conv, regenerate, scatter_conv, units
from tests.conftest import draw, rng

LAYERS = ["conv1_1", "conv2_1", "conv3_2"]


@pytest.mark.parametrize("width", [0.0, -1.0])
def test_units_without_width(network: nn.Module, width: float) -> None:
    with pytest.raises(StudyError, match=f"width {width} must be above 0"):
        regenerate(network, LAYERS, width=width, generator=rng())


def literal_unit(unit: Unit) -> nn.Sequential:
    """The authors' unit on the N selected channels, from plain modules."""
    names = ("conv1", "bn1", "relu1", "conv2", "bn2", "relu2", "conv3", "bn3", "relu3", "conv4")
    return nn.Sequential(OrderedDict((name, nn.ReLU() if name.startswith("relu") else unit.get_submodule(name)) for name in names))


@pytest.mark.parametrize("training", [True, False])
def test_unit_equals_permute_split_concatenate_permute_back(training: bool) -> None:
    conv = nn.Conv2d(3, 10, 3, padding=1, bias=False)
    channels = rank(conv)[:4]
    unit = initialise(Unit(channels, 5), rng()).train(training)
    layer, x = Regenerated(conv, unit), draw(6, 3, 7, 7) * 10
    order = torch.cat([channels, torch.tensor([c for c in range(10) if c not in channels.tolist()])])
    sorted_features = conv(x)[:, order]  # "imap": the most vulnerable first
    chosen, rest = sorted_features[:, :4], sorted_features[:, 4:]
    regenerated = chosen + literal_unit(unit)(chosen)
    expected = torch.cat([regenerated, rest], dim=1)[:, order.argsort()]  # "remap"
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(layer(x)[:, order[4:]], conv(x)[:, order[4:]])


@pytest.mark.parametrize(("channels", "width"), [(12, 12), (48, 36)])
def test_unit_size_is_the_authors_count(channels: int, width: int) -> None:
    unit = Unit(torch.arange(channels), width)
    assert sum(p.numel() for p in unit.parameters() if p.ndim == 4) == 18 * width**2 + 2 * channels * width


def test_layers_with_widths_of_their_own(network: nn.Module, images: Images, tmp_path: Path) -> None:
    """A mapping gives each unit's width, and units are read back as they were written."""
    places = {"conv2_1": 5, "conv1_1": 3}
    defended = regenerate(network, first_layers(places, 9), ratio=0.5, width=7.0, generator=rng())
    assert {layer: unit.conv1.out_channels for layer, unit in units(defended).items()} == {"conv1_1": 3, "conv2_1": 5}
    path = tmp_path / "units.safetensors"
    save_units(path, defended, network=network, layers=places, ratio=0.5, width=7.0)
    assert torch.equal(load_units(path, network)(as_input(images.pixels)), defended(as_input(images.pixels)))
    assert list(first_layers(places, 1)) == ["conv2_1"]
    assert first_layers(["a", "b", "c"], 2) == ["a", "b"]


def test_the_prefix_before_the_first_unit_runs_without_autograd(network: nn.Module, images: Images) -> None:
    defended = regenerate(network, ["conv2_1"], ratio=0.5, generator=rng())
    units(defended)["conv2_1"].train().requires_grad_(True)
    tracked: dict[str, bool] = {}
    for name, part in defended.named_children():
        part.register_forward_hook(lambda _m, _i, output, name=name: tracked.__setitem__(name, output.requires_grad))
    defended(as_input(images.pixels))
    names = list(tracked)
    assert [tracked[name] for name in names] == [index >= names.index("conv2_1") for index in range(len(names))]


def test_zero_residual_starts_as_the_network(network: nn.Module, images: Images) -> None:
    x = images.pixels.float()
    assert torch.equal(regenerate(network, LAYERS, residual=0.0, generator=rng())(x), network(x))
    he, half = (units(regenerate(network, LAYERS, residual=r, generator=rng())) for r in (1.0, 0.5))
    for layer, unit in he.items():
        torch.testing.assert_close(half[layer].conv4.weight, unit.conv4.weight / 2)
        assert torch.equal(half[layer].conv3.weight, unit.conv3.weight)


def test_zero_last_convolution_leaves_the_network_as_it_was(network: nn.Module, images: Images) -> None:
    defended = regenerate(network, LAYERS, generator=rng())
    x = as_input(images.pixels)
    assert not torch.allclose(defended(x), network(x), atol=1e-2)
    for unit in units(defended).values():
        unit.conv4.weight.data.zero_()
    torch.testing.assert_close(defended(x), network(x))


@pytest.mark.parametrize(
    ("layers", "ratio", "said"),
    [
        (["relu_conv1_1"], 0.5, "not a convolution"),
        (["conv1_9"], 0.5, "not in the network"),
        (["conv1_1"], 0.0, "ratio"),
        (["conv1_1"], 1.5, "ratio"),
        (["conv1_1", "conv1_1"], 0.5, "name each once"),
    ],
)
def test_units_that_cannot_be_placed(network: nn.Module, layers: list[str], ratio: float, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        regenerate(network, layers, ratio=ratio, generator=rng())


def test_calibration_divides_by_the_deviation(network: nn.Module, images: Images) -> None:
    """The unit sees channels of unit deviation and gives back the network's own; without images nothing changes."""
    defended = regenerate(network, ["conv1_2"], ratio=0.5, generator=torch.Generator().manual_seed(0))
    unit = units(defended)["conv1_2"]
    x = as_input(images.pixels)
    plain = defended(x)
    calibrate(defended, None)
    assert torch.equal(defended(x), plain)
    with pytest.raises(StudyError, match="calibration on 0 images"):
        calibrate(defended, images.pixels[:0])
    seen: list[Tensor] = []
    handle = defended.get_submodule("conv1_2.conv").register_forward_hook(lambda _m, _i, output: seen.append(output))
    calibrate(defended, images.pixels)
    handle.remove()
    features = seen[0]
    chosen = features[:, unit.channels]
    torch.testing.assert_close(unit.scale, chosen.double().std((0, 2, 3), correction=0).float())
    inner = copy.deepcopy(unit)
    inner.scale.fill_(1.0)
    scaled = features.clone()
    scaled[:, unit.channels] = chosen / unit.scale.view(1, -1, 1, 1)
    expected = inner(scaled)
    expected[:, unit.channels] *= unit.scale.view(1, -1, 1, 1)
    torch.testing.assert_close(unit(features), expected, rtol=1e-4, atol=1e-3)


ENDS = [(1, 4, 3, 2, 3), (2, 13, 6, 7, 5), (3, 70, 40, 33, 9)]  # images, channels, ranked ones, width, side


def ends(case: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Features, ranked channels, hidden features, and the weights of both ends of a unit."""
    count, total, ranked, width, side = case
    channels = torch.randperm(total, generator=rng())[:ranked]
    return draw(count, total, side, side), channels, draw(count, width, side, side, seed=1), draw(width, ranked), draw(ranked, width)


@pytest.mark.parametrize("case", ENDS)
def test_the_ends_of_a_unit_position_by_position(case: tuple[int, ...]) -> None:
    features, channels, hidden, inwards, outwards = ends(case)
    ranked, expected = channels.tolist(), features.double().numpy().copy()
    gathered = np.einsum("nchw,dc->ndhw", expected[:, ranked], inwards.double().numpy())
    np.testing.assert_allclose(gather_conv(features, channels, inwards).numpy(), gathered, atol=1e-4)
    added = np.einsum("ndhw,cd->nchw", hidden.double().numpy(), outwards.double().numpy())
    for k, channel in enumerate(ranked):
        expected[:, channel] += added[:, k]
    np.testing.assert_allclose(scatter_conv(hidden, channels, outwards, features).numpy(), expected, atol=1e-4)


def test_the_ends_of_a_unit_have_the_right_gradients() -> None:
    features, channels, hidden, inwards, outwards = (t.double() if t.is_floating_point() else t for t in ends(ENDS[0]))
    given = features.requires_grad_(), inwards.requires_grad_()
    assert torch.autograd.gradcheck(lambda f, w: gather_conv(f, channels, w), given)
    given = hidden.requires_grad_(), outwards.requires_grad_(), features
    assert torch.autograd.gradcheck(lambda h, w, f: scatter_conv(h, channels, w, f), given)
