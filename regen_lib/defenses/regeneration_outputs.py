"""A variant of our own: the paper's units, trained towards what the network itself says of the clean image, not towards the label."""

from torch import nn

from regen_lib.core.options import Amount, Share
from regen_lib.defenses._shared.regeneration import Regeneration, train
from regen_lib.regeneration.unit import RATIO, WIDTH

__all__ = ["regeneration_outputs", "train"]


def regeneration_outputs(network: nn.Module, *, layers: list[str], ratio: Share = RATIO, width: Amount = WIDTH) -> Regeneration:
    """``network`` with untrained units on ``layers``, to be trained by :class:`regen_lib.training.objectives.CleanOutputs`."""
    return Regeneration(network, layers, ratio, width, "outputs")
