"""JPEG compression of the input (Dziugaite, Ghahramani, Roy 2016): a perturbation of high frequency does not survive it."""

from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg

from regen_lib.core.devices import memory_format
from regen_lib.defenses._shared.base import Defended, straight_through


class JPEG(Defended):
    """``network`` on images that went through JPEG at ``quality``; gradients pass straight through."""

    def __init__(self, network: nn.Module, quality: int) -> None:
        super().__init__(network)
        self.quality = quality

    def transform(self, x: Tensor) -> Tensor:
        pixels = x.detach().clamp(0, 255).round().to(torch.uint8).cpu().contiguous()
        coded = [encode_jpeg(image, self.quality) for image in pixels]
        mode = ImageReadMode.GRAY if x.shape[1] == 1 else ImageReadMode.RGB
        decoded = torch.stack([decode_jpeg(data, mode) for data in coded]).to(x)
        return straight_through(x, decoded.contiguous(memory_format=memory_format()))


def jpeg(network: nn.Module, *, quality: Annotated[int, Ge(1), Le(100)] = 75) -> JPEG:
    """``network`` behind JPEG compression."""
    return JPEG(network, quality)
