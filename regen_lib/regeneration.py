"""The feature regeneration unit, and where it sits (Sec. 4.2, Eq. 3-6)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from regen_lib.artifacts import fill, read_tensors, weights_hash, write_tensors
from regen_lib.devices import memory_format
from regen_lib.distributed import BatchNorm2d
from regen_lib.errors import StudyError
from regen_lib.inference import logits
from regen_lib.kernels.regenerate import gather_conv, scatter_conv
from regen_lib.networks.blocks import initialise
from regen_lib.ranking import find_conv, top
from regen_lib.surgery import with_replaced


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


class Regenerated(nn.Module):
    """A frozen convolution and its unit, before the network's own BN and ReLU (Eq. 6)."""

    def __init__(self, conv: nn.Conv2d, unit: Unit) -> None:
        super().__init__()
        self.conv, self.unit = conv, unit

    def forward(self, x: Tensor) -> Tensor:
        regenerated: Tensor = self.unit(self.conv(x))
        return regenerated


Layers = Sequence[str] | Mapping[str, int]  # convolutions, or convolutions and the widths D of their units


def first(layers: Layers, count: int) -> list[str] | dict[str, int]:
    """The first ``count`` of the layers, with their widths where they have some."""
    return dict(list(layers.items())[:count]) if isinstance(layers, Mapping) else list(layers[:count])


def regenerate(
    network: nn.Module,
    layers: Layers,
    *,
    ratio: float = 0.5,
    width: float = 1.0,
    residual: float = 1.0,
    generator: torch.Generator,
) -> nn.Module:
    """Eq. 6: the network with a fresh unit on the top ``ratio`` of the filters of each named convolution.

    ``width`` is D / N of units that ``layers`` gives no width. The network's own weights are shared and stay frozen; units
    start from He-normal weights drawn from ``generator``, those of the last convolution times ``residual`` (0: the defended
    network starts as the network itself). :class:`StudyError` for a ratio outside (0, 1], a layer that is no convolution, or
    one named twice.
    """
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
        replacements[layer] = Regenerated(conv, unit)
    return with_replaced(network, replacements).eval()


def calibrate(defended: nn.Module, pixels: Tensor) -> None:
    """Set every unit's ``scale`` to the deviation of its channels over the clean images ``pixels`` ``[N, C, H, W]``.

    For networks fed pixels that nobody divides: there features have deviations of hundreds, while a unit with BN inside
    puts out values about one, and learns nothing. Units must not have been trained yet. Without images nothing changes.
    """
    if not len(pixels):
        return
    moments = {name: Moments() for name in units(defended)}
    handles = [defended.get_submodule(f"{name}.conv").register_forward_hook(moment) for name, moment in moments.items()]
    for _ in logits(defended, pixels):
        pass
    for handle in handles:
        handle.remove()
    for name, unit in units(defended).items():
        unit.scale.copy_(moments[name].deviation()[unit.channels].clamp_min(1e-6))


class Moments:
    """Counts, sums and squares per channel of the outputs that a hooked layer gives."""

    def __init__(self) -> None:
        self.count, self.total, self.squares = 0, torch.zeros(()), torch.zeros(())

    def __call__(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        values = output.double()
        self.count += values.numel() // values.shape[1]
        self.total, self.squares = self.total + values.sum((0, 2, 3)), self.squares + values.square().sum((0, 2, 3))

    def deviation(self) -> Tensor:
        """Standard deviation of each channel ``[C]``."""
        average = self.total / self.count
        return (self.squares / self.count - average**2).clamp_min(0).sqrt().float()


def units(network: nn.Module) -> dict[str, "Unit"]:
    """The units of a defended network by the layer they sit on: all that is trained and saved."""
    return {name: module.unit for name, module in network.named_modules() if isinstance(module, Regenerated)}


def save_units(path: Path, defended: nn.Module, *, network: nn.Module, layers: Layers, ratio: float, width: float) -> None:
    """Write a defended network's units: they are all that differs from the frozen ``network``, whose hash goes along."""
    tensors = {f"{layer}|{name}": t for layer, unit in units(defended).items() for name, t in unit.state_dict().items()}
    write_tensors(path, "units", tensors, network_hash=weights_hash(network), layers=layers, ratio=ratio, width=width)


def load_units(path: Path, network: nn.Module) -> nn.Module:
    """The defended network: ``network`` with the units of ``path``. :class:`StudyError` for units of other weights."""
    tensors, metadata = read_tensors(path, "units")
    if metadata["network_hash"] != weights_hash(network):
        raise StudyError(f"{path}: units trained for other weights: run `dvc repro` to make network and units agree")
    fresh = torch.Generator()
    defended = regenerate(network, metadata["layers"], ratio=metadata["ratio"], width=metadata["width"], generator=fresh)
    for layer, unit in units(defended).items():
        fill(unit, {key.split("|")[1]: t for key, t in tensors.items() if key.split("|")[0] == layer}, path)
    return defended.eval().requires_grad_(False)
