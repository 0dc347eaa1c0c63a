"""A variant of our own: one unit, on the first of the layers that the paper's six units sit on."""

from torch import nn

from regen_lib.core.options import Amount, Share
from regen_lib.defenses._shared.regeneration import Regeneration, train
from regen_lib.regeneration.unit import RATIO, WIDTH

__all__ = ["regeneration_first", "train"]


def regeneration_first(network: nn.Module, *, layers: list[str], ratio: Share = RATIO, width: Amount = WIDTH) -> Regeneration:
    """``network`` with an untrained unit on the first of ``layers``, to be trained towards the labels (Eq. 7)."""
    return Regeneration(network, layers[:1], ratio, width, "labels")
