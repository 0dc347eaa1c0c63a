"""A clamp, an untrained rule as a control: values outside [0, 255], which no image has, become 0 or 255."""

from torch import Tensor, nn

from regen_lib.defenses._shared.base import Defended, straight_through


class Clamp(Defended):
    """``network`` on images within [0, 255]; gradients pass straight through."""

    def transform(self, x: Tensor) -> Tensor:
        return straight_through(x, x.clamp(0, 255))


def clamp(network: nn.Module) -> Clamp:
    """``network`` behind a clamp."""
    return Clamp(network)
