"""Shared adversarial training (Mummadi, Brox, Metzen, ICCV 2019): images of a mini-batch share perturbations, heap by heap."""

from functools import partial

from torch import nn

from regen_lib.core.options import Count, Pixels, Share
from regen_lib.defenses._shared.base import TrainingData
from regen_lib.defenses._shared.retraining import Retrained, perturbation, train_against
from regen_lib.training.recipe import Recipe


def shared_adversarial_training(network: nn.Module) -> Retrained:
    """A copy of ``network``, to be retrained."""
    return Retrained(network)


def train(
    defended: Retrained,
    data: TrainingData,
    recipe: Recipe,
    *,
    seed: int,
    name: str,
    epsilon: Pixels,
    heap: Count = 64,
    steps: Count = 4,
    share: Share = 0.5,
) -> list[float]:
    """Train on perturbations shared by heaps of ``heap`` images, within ``epsilon`` pixels; ``share`` (sigma) of the loss is theirs."""
    ascend = partial(perturbation, epsilon=epsilon, steps=steps, heap=heap)
    return train_against(defended, data, recipe, ascend, share=share, seed=seed, name=name)
