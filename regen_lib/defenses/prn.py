"""PRN (Akhtar, Liu, Mian, CVPR 2018): a rectifying network before the classifier, trained on UAPs."""

from functools import partial

import torch
from torch import Tensor, nn

from regen_lib.core.devices import memory_format
from regen_lib.core.options import Count, Probability
from regen_lib.core.seeding import generator
from regen_lib.defenses._shared.base import Defended, TrainingData
from regen_lib.training.loop import fit
from regen_lib.training.noise import Noise
from regen_lib.training.recipe import Recipe

CENTRE = 127.5


class Residual(nn.Module):
    """``x + relu(conv(relu(conv(x))))``, 3x3, no BN."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(maps, maps, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x).relu()).relu()


class PRN(Defended):
    """``network`` on rectified images.

    3x3 convolution to ``maps``, ``blocks`` residual blocks, 1x1 to a quarter of the maps, 1x1 back to the image's channels;
    no skip around the whole, as in the authors' code.
    """

    def __init__(self, network: nn.Module, channels: int, maps: int, blocks: int) -> None:
        super().__init__(network)
        narrow = max(channels, maps // 4)
        tail = [nn.Conv2d(maps, narrow, 1), nn.Conv2d(narrow, channels, 1)]
        self.rectifier = nn.Sequential(nn.Conv2d(channels, maps, 3, padding=1), *(Residual(maps) for _ in range(blocks)), *tail)
        self.rectifier.to(memory_format=memory_format())

    def transform(self, x: Tensor) -> Tensor:
        rectified: Tensor = self.rectifier((x - CENTRE) / CENTRE) * CENTRE + CENTRE
        return rectified


def prn(network: nn.Module, *, channels: int, maps: Count = 64, blocks: Count = 5) -> PRN:
    """``network`` behind an untrained rectifier for images of ``channels``."""
    return PRN(network, channels, maps, blocks)


def train(defended: PRN, data: TrainingData, recipe: Recipe, *, seed: int, name: str, probability: Probability = 0.5) -> list[float]:
    """Train the rectifier alone, towards the classifier's own prediction on the clean image; Xavier start."""
    rng = generator(seed, "prn", name)
    for layer in defended.rectifier.modules():
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.xavier_normal_(layer.weight, generator=rng)
            nn.init.zeros_(layer.bias)
    objective = partial(loss, defended, Noise(data.bank.perturbations, probability))
    return fit(defended, defended.own(), data.images, recipe, seed=seed, name=name, objective=objective)


def loss(defended: PRN, noise: Noise, x: Tensor, y: Tensor, rng: torch.Generator) -> Tensor:  # noqa: ARG001  # PRN needs no labels
    """Cross-entropy of the rectified image to the class that the network gives the clean one."""
    with torch.no_grad():
        clean = defended.network(x).argmax(1)
    return nn.functional.cross_entropy(defended(noise(x, rng)), clean)
