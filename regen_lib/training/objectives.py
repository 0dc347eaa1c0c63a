"""What units can be trained towards instead of the labels of Eq. 7."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from regen_lib.training.noise import Noise


class CleanOutputs:
    """Eq. 7 with the undefended network's own answer in the place of the label.

    The loss is the cross-entropy, over all classes, between the softmax of ``network`` for the image as it is and that of ``defended`` for
    what ``noise`` makes of it. Images of a few of the network's classes then teach the units nothing about which classes there are.
    """

    def __init__(self, network: nn.Module, defended: Callable[[Tensor], Tensor], noise: Noise | None) -> None:
        self.network, self.defended, self.noise = network, defended, noise

    def __call__(self, x: Tensor, y: Tensor, rng: torch.Generator) -> Tensor:  # noqa: ARG002 - every objective is given the labels
        """The loss of a mini-batch ``[b, C, H, W]``; the labels ``y`` are not looked at."""
        with torch.no_grad():
            wanted = self.network(x).softmax(1)
        return nn.functional.cross_entropy(self.defended(x if self.noise is None else self.noise(x, rng)), wanted)
