"""Feature Denoising (Xie et al., CVPR 2019): non-local blocks between the layers, and adversarial training of the whole."""

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor, nn

from regen_lib.core.depth import holds_most
from regen_lib.core.devices import memory_format
from regen_lib.core.errors import StudyError
from regen_lib.core.options import Count, Pixels, Share
from regen_lib.core.seeding import generator
from regen_lib.core.wrappers import bare
from regen_lib.defenses._shared.base import TrainingData
from regen_lib.defenses._shared.retraining import Retrained
from regen_lib.defenses.adversarial_training import train as adversarially
from regen_lib.training.recipe import Recipe

Kind = Literal["gaussian", "dot"]


class NonLocal(nn.Module):
    """``x + BN(1x1(means of x over similar positions))``, on ``[N, C, H, W]``; the BN's scale starts at zero.

    ``gaussian``: softmax of the scaled products of two 1x1 embeddings; ``dot``: the products of ``x`` itself over H W.
    """

    def __init__(self, channels: int, kind: Kind) -> None:
        super().__init__()
        self.kind = kind
        half = max(1, channels // 2)
        self.theta, self.phi = (nn.Conv2d(channels, half, 1, bias=False) if kind == "gaussian" else nn.Identity() for _ in range(2))
        self.mix, self.norm = nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def weights(self, x: Tensor) -> Tensor:
        """How much each position takes from every other: ``[N, H W, H W]``."""
        theta, phi = self.theta(x).flatten(2), self.phi(x).flatten(2)
        products = theta.transpose(1, 2) @ phi
        if self.kind == "gaussian":
            return (products / theta.shape[1] ** 0.5).softmax(2)
        return products / products.shape[2]

    def forward(self, x: Tensor) -> Tensor:
        means = (self.weights(x) @ x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)
        mixed: Tensor = self.norm(self.mix(means.contiguous(memory_format=memory_format())))
        return x + mixed


def chain(network: nn.Module, whole: nn.Module) -> Iterator[tuple[nn.Sequential, int]]:
    """Where the parts of an ``nn.Sequential`` stand, in the order in which they run; of other modules, nowhere.

    In the place of a part that is an ``nn.Sequential`` itself and holds most of the ``whole`` network's layers are the parts of that,
    as in :func:`regen_lib.core.depth.parts`.
    """
    if isinstance(network, nn.Sequential) and type(network).forward is nn.Sequential.forward:
        for index, part in enumerate(network):
            inner = list(chain(part, whole)) if holds_most(part, whole) else []
            yield from inner or [(network, index)]


def places(network: nn.Module, shape: tuple[int, int, int], largest: int) -> list[tuple[nn.Sequential, int, int]]:
    """Where blocks go: after the last part of each resolution of at most ``largest`` positions, with its channels.

    A part is one of :func:`chain`, from the first on that has weights: the image itself is not denoised, nor normalised.
    """
    found: dict[tuple[int, ...], tuple[nn.Sequential, int, int]] = {}
    x, features = torch.zeros(1, *shape), False
    with torch.no_grad():
        for parent, index in chain(network, network):
            x = parent[index](x)
            features |= any(weight.ndim > 1 for weight in parent[index].parameters())
            if features and x.ndim == 4 and 1 < x.shape[2] * x.shape[3] <= largest:
                found[tuple(x.shape[2:])] = (parent, index, x.shape[1])
    return list(found.values())


def feature_denoising(
    network: nn.Module, *, shape: tuple[int, int, int], kind: Kind = "gaussian", largest: Annotated[int, Ge(2)] = 200
) -> Retrained:
    """A copy of ``network`` for images of ``shape`` ``(C, H, W)`` with a denoising block after each resolution, to be retrained."""
    defended = Retrained(network)
    where = places(bare(defended.model), (shape[0], shape[1], shape[2]), largest)
    if not where:
        found = f"the network is a {type(bare(defended.model)).__name__}"
        wanted = f"blocks go between the parts of an nn.Sequential, after features of 2 to {largest} positions, and here are none"
        raise StudyError(f"{found}: {wanted}; write it as one, or raise largest")
    for parent, index, channels in where:
        block = NonLocal(channels, kind).to(memory_format=memory_format())
        parent[index] = nn.Sequential(parent[index], block.eval())
    return defended


def train(
    defended: Retrained, data: TrainingData, recipe: Recipe, *, seed: int, name: str, epsilon: Pixels, steps: Count = 5, share: Share = 1.0
) -> list[float]:
    """Adversarial training of network and blocks; 1x1 embeddings start from N(0, 0.01), the mixing ones from He-normal weights."""
    rng = generator(seed, "feature denoising", name)
    for block in defended.model.modules():
        if isinstance(block, NonLocal):
            nn.init.kaiming_normal_(block.mix.weight, generator=rng)
            for embedding in (block.theta, block.phi):
                if isinstance(embedding, nn.Conv2d):
                    nn.init.normal_(embedding.weight, std=0.01, generator=rng)
    return adversarially(defended, data, recipe, seed=seed, name=name, epsilon=epsilon, steps=steps, share=share)
