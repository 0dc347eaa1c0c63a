"""Universal adversarial training (Shafahi et al., AAAI 2020): one perturbation grows with the weights that learn to resist it."""

import torch
from torch import Tensor, nn

from regen_lib.attacks._shared.loss_gradient import LOSS_CLIP
from regen_lib.core.options import Amount, Pixels, Share
from regen_lib.defenses._shared.base import TrainingData
from regen_lib.defenses._shared.retraining import Retrained, train_against
from regen_lib.training.recipe import Recipe


def universal_adversarial_training(network: nn.Module) -> Retrained:
    """A copy of ``network``, to be retrained."""
    return Retrained(network)


class Universal:
    """The perturbation, kept from one mini-batch to the next; each call takes one sign step uphill on the clipped loss."""

    def __init__(self, epsilon: float, step: float) -> None:
        self.epsilon, self.step = epsilon, step
        self.v: Tensor | None = None

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, rng: torch.Generator) -> Tensor:  # noqa: ARG002  # nothing random
        leaf = (torch.zeros_like(x[:1]) if self.v is None else self.v).requires_grad_()
        with torch.enable_grad():
            losses = nn.functional.cross_entropy(model(x + leaf), y, reduction="none").clamp_max(LOSS_CLIP)
            (gradient,) = torch.autograd.grad(losses.sum(), leaf)
        self.v = (leaf.detach() + self.step * self.epsilon * gradient.sign()).clamp(-self.epsilon, self.epsilon)
        return self.v


def train(
    defended: Retrained,
    data: TrainingData,
    recipe: Recipe,
    *,
    seed: int,
    name: str,
    epsilon: Pixels,
    step: Amount = 0.1,
    share: Share = 1.0,
) -> list[float]:
    """Train on one universal perturbation within ``epsilon`` pixels that takes a step of ``step * epsilon`` each mini-batch."""
    return train_against(defended, data, recipe, Universal(epsilon, step), share=share, seed=seed, name=name)
