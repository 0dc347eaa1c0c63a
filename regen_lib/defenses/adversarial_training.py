"""Adversarial training (Madry et al., ICLR 2018): all weights learn from the worst perturbation of every single image."""

from functools import partial

from torch import nn

from regen_lib.core.options import Count, Pixels, Share
from regen_lib.defenses._shared.base import TrainingData
from regen_lib.defenses._shared.retraining import Retrained, perturbation, train_against
from regen_lib.training.recipe import Recipe


def adversarial_training(network: nn.Module) -> Retrained:
    """A copy of ``network``, to be retrained."""
    return Retrained(network)


def train(
    defended: Retrained, data: TrainingData, recipe: Recipe, *, seed: int, name: str, epsilon: Pixels, steps: Count = 5, share: Share = 1.0
) -> list[float]:
    """Train on PGD examples of ``steps`` within ``epsilon`` pixels; ``share`` of the loss is theirs."""
    return train_against(defended, data, recipe, partial(perturbation, epsilon=epsilon, steps=steps), share=share, seed=seed, name=name)
