"""Variants of the paper's defence: units in a network, trained as the study's own are but for what the variant names."""

from typing import Any, Literal

from torch import Tensor, nn

from regen_lib.core.options import Count, Probability, Share
from regen_lib.core.seeding import generator
from regen_lib.defenses._shared.base import Defended, TrainingData
from regen_lib.regeneration.synthesis import ETA_SCALE, make
from regen_lib.regeneration.unit import regenerate, units
from regen_lib.training.recipe import Recipe
from regen_lib.training.units import PROBABILITY, SYNTHETIC, trained


class Regeneration(Defended):
    """``network`` with units on ``layers``, to be trained towards ``target``; untrained ones change nothing (``residual`` is 0)."""

    def __init__(self, network: nn.Module, layers: list[str], ratio: float, width: float, target: Literal["labels", "outputs"]) -> None:
        super().__init__(network)
        self.shape: dict[str, Any] = {"ratio": ratio, "width": width, "residual": 0.0}
        self.layers, self.target = layers, target
        self.regenerated = regenerate(self.network, layers, generator=generator(0, "units", self.family), **self.shape)

    def own(self) -> list[nn.Module]:
        return list(units(self.regenerated).values())

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.regenerated(x)
        return logits


def train(
    defended: Regeneration,
    data: TrainingData,
    recipe: Recipe,
    *,
    seed: int,
    name: str,  # noqa: ARG001  # drawn by the network's name, as the study's own units are
    synthetic: Count = SYNTHETIC,
    eta_scale: Share = ETA_SCALE,
    probability: Probability = PROBABILITY,
) -> list[float]:
    """Train the units on ``synthetic`` perturbations of Algorithm 1; the loss after each epoch.

    First weights, mini-batches and noise are drawn as the study draws them for its own units: with the same settings these are the
    same units to the bit, and with others nothing but those differs.
    """
    bank, network = data.bank, data.bank.network
    v = make("paper", bank.perturbations, bank.threat, synthetic, seed=seed, name=network, eta_scale=eta_scale)
    how: Any = {"probability": probability, "clip": False, "calibration": None, "target": defended.target, "seed": seed}
    named: Any = {"name": f"{network} ours", "key": network}
    defended.regenerated, losses = trained(defended.network, data.images, v, defended.layers, recipe, **defended.shape, **how, **named)
    return losses
