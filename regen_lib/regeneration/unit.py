"""The feature regeneration unit, and where it sits (Sec. 4.2, Eq. 3-6)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu

from regen_lib.core import options
from regen_lib.core.batch_norm import BatchNorm2d
from regen_lib.core.devices import memory_format
from regen_lib.core.errors import StudyError
from regen_lib.core.options import Count
from regen_lib.core.surgery import Wrapped, find_conv, view, with_replaced
from regen_lib.core.wrappers import is_module
from regen_lib.networks.blocks import initialise
from regen_lib.regeneration.ranking import top

RATIO, WIDTH = 0.5, 1.0  # of a unit that is not told otherwise: the share of the filters that it regenerates, and D / N


class Unit(nn.Module):
    """D_l (Eq. 3): a layer's features ``[N, C, H, W]`` with those of ``channels`` regenerated, ``D_l(x) = x + residual`` there.

    1x1, 3x3, 3x3, 1x1 convolutions without bias, BN and ReLU after the first three: about ``18 D^2 + 2 N D`` weights for N
    regenerated channels and width D, as the authors count. The authors' fixed permutations before and after the unit are
    folded into the two 1x1 convolutions, whose weights hold the N channels only. ``scale`` ``[N]`` is folded into them too:
    the unit sees each channel divided by it, and gives it back multiplied (:func:`calibrate`).
    """

    channels: Tensor
    scale: Tensor

    def __init__(self, channels: Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer("channels", channels)
        self.register_buffer("scale", torch.ones(len(channels)))
        self.conv1 = nn.Conv2d(len(channels), width, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.conv3 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.conv4 = nn.Conv2d(width, len(channels), 1, bias=False)
        self.bn1, self.bn2, self.bn3 = (BatchNorm2d(width) for _ in range(3))

    def forward(self, features: Tensor) -> Tensor:
        hidden = gather_conv(features, self.channels, self.conv1.weight.flatten(1) / self.scale)
        for norm, conv in ((self.bn1, self.conv2), (self.bn2, self.conv3)):
            hidden = conv(relu(norm(hidden)))
        return scatter_conv(relu(self.bn3(hidden)), self.channels, self.conv4.weight.flatten(1) * self.scale[:, None], features)


def gather_conv(features: Tensor, channels: Tensor, weight: Tensor) -> Tensor:
    """``[N, D, H, W]``: the 1x1 convolution ``weight`` ``[D, n]`` of the ``channels`` ``[n]`` of ``features`` ``[N, C, H, W]``.

    The gather is folded into weights that are zero elsewhere: 10-15 % faster than a copy on a CPU.
    """
    whole = weight.new_zeros(len(weight), features.shape[1]).index_copy(1, channels, weight)
    return conv2d(features, whole[:, :, None, None])


def scatter_conv(hidden: Tensor, channels: Tensor, weight: Tensor, features: Tensor) -> Tensor:
    """``[N, C, H, W]``: ``features``, to whose ``channels`` ``[n]`` the 1x1 convolution ``weight`` ``[n, D]`` of ``hidden`` is added.

    The scatter is folded into the weights likewise.
    """
    whole = weight.new_zeros(features.shape[1], weight.shape[1]).index_copy(0, channels, weight)
    return features + conv2d(hidden, whole[:, :, None, None])


class Regenerated(Wrapped):
    """A frozen convolution and its unit, before the network's own BN and ReLU (Eq. 6)."""

    def __init__(self, conv: nn.Conv2d, unit: Unit) -> None:
        super().__init__(conv)
        self.unit = unit

    def forward(self, input: Tensor) -> Tensor:
        regenerated: Tensor = self.unit(self.conv(input))
        return regenerated


Layers = Sequence[str] | Mapping[str, int]  # convolutions, or convolutions and the widths D of their units


def first_layers(layers: Layers, count: int) -> list[str] | dict[str, int]:
    """The first ``count`` of the layers, with their widths where they have some."""
    return dict(list(layers.items())[:count]) if isinstance(layers, Mapping) else list(layers[:count])


def regenerate(
    network: nn.Module,
    layers: Layers,
    *,
    ratio: float = RATIO,
    width: float = WIDTH,
    residual: float = 1.0,
    generator: torch.Generator,
) -> nn.Module:
    """Eq. 6: the network with a fresh unit on the top ``ratio`` of the filters of each named convolution.

    ``width`` is D / N of units that ``layers`` gives no width. The network's own weights are shared, and frozen in what is given
    back; the network itself is left as it is. A convolution that runs twice has its unit both times. Units
    start from He-normal weights drawn from ``generator``, those of the last convolution times ``residual`` (0: the defended
    network starts as the network itself). :class:`StudyError` for a ratio outside (0, 1], a width of 0 or less, a layer that is no
    convolution, or one named twice.
    """
    options.check(regenerate, {"ratio": ratio, "width": width, "residual": residual, "generator": generator})
    is_module(network)
    if width <= 0:
        raise StudyError(f"width {width} must be above 0: it is D / N, a unit's own channels over those that it regenerates")
    if isinstance(layers, Mapping):
        options.check_value("regenerate", "layers", layers, Mapping[str, Count])
    elif not layers or not options.fits(layers, Sequence[str]):
        raise StudyError(f"layers {layers!r}: give a list of one or more names of convolutions, or a mapping of names to widths")
    if len(set(layers)) != len(layers):
        raise StudyError(f"layers {list(layers)}: each takes one unit, so name each once")
    replacements: dict[str, nn.Module] = {}
    for layer in layers:
        conv = find_conv(network, layer)
        channels = top(conv, ratio)
        own = layers[layer] if isinstance(layers, Mapping) else max(1, round(width * len(channels)))
        unit = Unit(channels, own)
        initialise(unit.to(memory_format=memory_format()), generator)
        unit.conv4.weight.data *= residual
        replacements[layer] = Regenerated(view(conv), unit)
    return with_replaced(network, replacements).eval()


def units(network: nn.Module) -> dict[str, "Unit"]:
    """The units of a defended network by the layer they sit on: all that is trained and saved."""
    return {name: module.unit for name, module in network.named_modules() if isinstance(module, Regenerated)}
