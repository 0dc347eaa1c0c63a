"""Adversarial training: what the defences share that train all weights of a copy of the network."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from regen_lib.attacks._shared.loss_gradient import LOSS_CLIP
from regen_lib.core import contract
from regen_lib.core.surgery import duplicate
from regen_lib.defenses._shared.base import Defended, TrainingData
from regen_lib.training.loop import fit
from regen_lib.training.recipe import Recipe

Ascend = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]


class Retrained(Defended):
    """A copy of ``network`` whose weights are all trained on; it starts as the network itself."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.model = duplicate(network).eval()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        return logits


def perturbation(model: nn.Module, x: Tensor, y: Tensor, rng: torch.Generator, *, epsilon: float, steps: int, heap: int = 1) -> Tensor:
    """The worst l-inf perturbation found for each heap of ``heap`` consecutive images: ``[b, C, H, W]``, equal within a heap.

    ``heap`` 1 is PGD (Madry et al. 2018), the whole batch one universal perturbation (Mummadi et al. 2019). Sign steps of
    ``2.5 epsilon / steps`` from a uniform start, on the clipped cross-entropy.
    """
    owner = torch.arange(len(x)) // heap
    v = (torch.rand(int(owner[-1]) + 1, *x.shape[1:], generator=rng) * 2 - 1) * epsilon
    with torch.enable_grad():
        for _ in range(steps):
            leaf = v.requires_grad_()
            losses = nn.functional.cross_entropy(model(x + leaf[owner]), y, reduction="none").clamp_max(LOSS_CLIP)
            (gradient,) = torch.autograd.grad(losses.sum(), leaf)
            v = (v.detach() + 2.5 * epsilon / steps * gradient.sign()).clamp(-epsilon, epsilon)
    return v.detach()[owner]


def train_against(
    defended: Retrained, data: TrainingData, recipe: Recipe, ascend: Ascend, *, share: float, seed: int, name: str
) -> list[float]:
    """Train all weights on ``share`` times the loss under what ``ascend`` adds to the images, and the rest on clean ones."""
    objective = partial(mixed_loss, defended, ascend, share)
    return fit(defended, defended.own(), data.images, recipe, seed=seed, name=name, objective=objective)


def mixed_loss(defended: Retrained, ascend: Ascend, share: float, x: Tensor, y: Tensor, rng: torch.Generator) -> Tensor:
    """The two cross-entropies of a mini-batch; BN keeps its running statistics while the attack looks for its perturbation."""
    defended.model.eval()
    v = ascend(defended.model, x, y, rng)
    defended.model.train()
    logits = contract.alone(defended(torch.cat([x + v, x]) if share < 1 else x + v))
    loss = share * nn.functional.cross_entropy(logits[: len(x)], y)
    return loss if share == 1 else loss + (1 - share) * nn.functional.cross_entropy(logits[len(x) :], y)
