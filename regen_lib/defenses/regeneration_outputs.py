"""A variant of our own: the paper's units, trained towards what the network itself says of the clean image, not towards the label."""

from typing import Any

from torch import nn

from regen_lib.core.options import Amount, Count, Probability, Share
from regen_lib.defenses._shared.base import TrainingData
from regen_lib.defenses._shared.regeneration import Regeneration
from regen_lib.training.recipe import Recipe


def regeneration_outputs(network: nn.Module, *, layers: list[str], ratio: Share = 0.5, width: Amount = 1.0) -> Regeneration:
    """``network`` with untrained units on ``layers``."""
    return Regeneration(network, layers, ratio, width)


def train(
    defended: Regeneration,
    data: TrainingData,
    recipe: Recipe,
    *,
    seed: int,
    name: str,  # noqa: ARG001  # drawn by the network's name, as the study's own units are
    synthetic: Count = 2000,
    eta_scale: Share = 0.95,
    probability: Probability = 0.4,
) -> list[float]:
    """Train the units towards the network's outputs for the clean image (:class:`regen_lib.training.objectives.CleanOutputs`)."""
    how: Any = {"synthetic": synthetic, "eta_scale": eta_scale, "probability": probability}
    return defended.learn(data, recipe, seed=seed, target="outputs", **how)
