"""A Gaussian blur, an untrained rule as a control: the perturbation's high frequencies go, and the image's with them."""

import math

from torch import Tensor, nn
from torchvision.transforms.v2 import functional as F

from regen_lib.core.options import Amount
from regen_lib.defenses._shared.base import Defended


class GaussianBlur(Defended):
    """``network`` on images blurred with a standard deviation of ``sigma`` pixels, cut off at two of them."""

    def __init__(self, network: nn.Module, sigma: float) -> None:
        super().__init__(network)
        self.sigma = sigma

    def transform(self, x: Tensor) -> Tensor:
        size = 2 * math.ceil(2 * self.sigma) + 1
        blurred: Tensor = F.gaussian_blur(x, [size, size], [self.sigma, self.sigma])
        return blurred


def gaussian_blur(network: nn.Module, *, sigma: Amount = 1.0) -> GaussianBlur:
    """``network`` behind a blur."""
    return GaussianBlur(network, sigma)
