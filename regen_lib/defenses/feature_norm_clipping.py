"""Feature Norm Clipping (Yu et al., ICCV 2021): no training; no position of a feature map may have an outsized norm."""

from typing import Any

import torch
from torch import Tensor, nn

from regen_lib.core.images import as_input
from regen_lib.core.options import Amount
from regen_lib.core.surgery import Wrapped, find_conv, layer_inputs, view, with_replaced
from regen_lib.defenses._shared.base import Defended, TrainingData

CALIBRATION = 1000  # training images that say what a usual norm is


class Clipped(Wrapped):
    """A convolution whose output ``[N, C, H, W]`` has an l2 norm over channels of at most ``alpha * usual`` at every position."""

    usual: Tensor

    def __init__(self, conv: nn.Conv2d, alpha: float) -> None:
        super().__init__(conv)
        self.alpha = alpha
        self.register_buffer("usual", torch.tensor(torch.inf))

    def forward(self, input: Tensor) -> Tensor:
        features: Tensor = self.conv(input)
        norm = features.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return features * (self.alpha * self.usual / norm).clamp_max(1)


class FeatureNormClipping(Defended):
    """A copy of ``network`` with clipped convolutions; their usual norms are set by :func:`train`."""

    def __init__(self, network: nn.Module, layers: list[str], alpha: float) -> None:
        super().__init__(network)
        self.clipped = with_replaced(network, {layer: Clipped(view(find_conv(network, layer)), alpha) for layer in layers})
        self.layers = layers

    def own(self) -> list[nn.Module]:
        return []  # calibrated, not trained

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.clipped(x)
        return logits


def feature_norm_clipping(network: nn.Module, *, layers: list[str], alpha: Amount = 1.1) -> FeatureNormClipping:
    """``network`` with the norms at the outputs of ``layers`` clipped at ``alpha`` times the mean norm on clean images."""
    return FeatureNormClipping(network, layers, alpha)


def train(defended: FeatureNormClipping, data: TrainingData, recipe: None, **_: Any) -> None:  # noqa: ARG001  # nothing is fitted
    """Set each layer's usual norm, first to last: the mean over clean training images and positions."""
    x = as_input(data.images.pixels[:CALIBRATION])
    for layer in defended.layers:
        clipped = defended.clipped.get_submodule(layer)
        assert isinstance(clipped, Clipped)
        inner = f"{layer}.conv"
        with torch.no_grad():
            features = clipped.conv(layer_inputs(defended.clipped, [inner], x)[inner])
        clipped.usual.fill_(float(features.norm(dim=1).mean()))
