"""A dead zone, an untrained rule as a control: values below a threshold become 0.

On images whose background is 0, one above xi takes a perturbation of l-infinity norm xi off the background. Where it keeps up with
trained defences, the images rank nothing.
"""

import torch
from torch import Tensor, nn

from regen_lib.core.options import Pixels
from regen_lib.defenses._shared.base import Defended, straight_through


class DeadZone(Defended):
    """``network`` on images without values below ``threshold``; gradients pass straight through."""

    def __init__(self, network: nn.Module, threshold: float) -> None:
        super().__init__(network)
        self.threshold = threshold

    def transform(self, x: Tensor) -> Tensor:
        return straight_through(x, torch.where(x < self.threshold, 0.0, x))


def dead_zone(network: nn.Module, *, threshold: Pixels) -> DeadZone:
    """``network`` behind a dead zone of ``threshold`` pixels."""
    return DeadZone(network, threshold)
