"""HGD (Liao et al., CVPR 2018): a U-shaped denoiser before the classifier, guided by the classifier's own features."""

from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, l1_loss

from regen_lib.core.devices import memory_format
from regen_lib.core.layers import last_convolution, ran
from regen_lib.core.options import Count, Probability
from regen_lib.core.seeding import generator
from regen_lib.defenses._shared.base import Defended, TrainingData
from regen_lib.networks.blocks import initialise
from regen_lib.training.loop import fit
from regen_lib.training.noise import Noise
from regen_lib.training.recipe import Recipe

ENCODER, DECODER = (2, 3, 3, 3, 3), (3, 3, 3, 2)  # convolutions in each group
MAPS = (1, 2, 4, 4, 4)  # of each encoder group, times the width


def group(inputs: int, outputs: int, count: int, stride: int = 1) -> nn.Sequential:
    """``count`` 3x3 convolutions, each with BN and ReLU; the first takes the stride."""
    layers: list[nn.Module] = []
    for index in range(count):
        convolution = nn.Conv2d(inputs if index == 0 else outputs, outputs, 3, stride if index == 0 else 1, 1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class Denoiser(nn.Module):
    """DUNET: five groups down, four up with skips; what it gives is added to the image ``[N, C, H, W]``, scaled to [0, 1]."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        maps = [width * factor for factor in MAPS]
        sizes = zip([channels, *maps], maps, ENCODER, strict=False)
        self.down = nn.ModuleList(group(i, o, count, 1 if k == 0 else 2) for k, (i, o, count) in enumerate(sizes))
        ups = zip(maps[:0:-1], maps[-2::-1], DECODER, strict=True)
        self.up = nn.ModuleList(group(i + o, o, count) for i, o, count in ups)
        self.last = nn.Conv2d(width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = [x]
        for part in self.down:
            skips.append(part(skips[-1]))
        hidden = skips.pop()
        for part in self.up:
            skip = skips.pop()
            hidden = part(torch.cat([interpolate(hidden, size=skip.shape[2:], mode="bilinear", align_corners=False), skip], dim=1))
        noise: Tensor = self.last(hidden)
        return noise


class HGD(Defended):
    """``network`` on denoised images."""

    def __init__(self, network: nn.Module, channels: int, width: int) -> None:
        super().__init__(network)
        self.denoiser = Denoiser(channels, width).to(memory_format=memory_format())

    def transform(self, x: Tensor) -> Tensor:
        denoised: Tensor = x + 255 * self.denoiser(x / 255)
        return denoised


def hgd(network: nn.Module, *, channels: int, width: Count = 64) -> HGD:
    """``network`` behind an untrained denoiser; ``width`` is the maps of its first group."""
    return HGD(network, channels, width)


def train(
    defended: HGD,
    data: TrainingData,
    recipe: Recipe,
    *,
    seed: int,
    name: str,
    guide: Literal["logits", "features"] = "logits",
    probability: Probability = 0.5,
) -> list[float]:
    """Train the denoiser alone: what the frozen classifier makes of clean and of denoised image should agree (L1).

    ``guide``: compare ``logits`` (LGD, the paper's best) or the last convolution's ``features`` (FGD).
    """
    initialise(defended.denoiser, generator(seed, "hgd", name))
    nn.init.zeros_(defended.denoiser.last.weight)  # starts by changing nothing
    objective = partial(loss, defended, Noise(data.bank.perturbations, probability), guide)
    return fit(defended, defended.own(), data.images, recipe, seed=seed, name=name, objective=objective)


def loss(defended: HGD, noise: Noise, guide: str, x: Tensor, y: Tensor, rng: torch.Generator) -> Tensor:  # noqa: ARG001  # no labels
    """Mean absolute difference of the classifier's logits, or features, between the clean image and the denoised one."""
    with last_convolution(defended.network) as outputs:
        with torch.no_grad():
            clean = defended.network(x)
            clean = clean if guide == "logits" else ran(outputs)[-1]
        denoised = defended(noise(x, rng))
        return l1_loss(denoised if guide == "logits" else outputs[-1], clean)
