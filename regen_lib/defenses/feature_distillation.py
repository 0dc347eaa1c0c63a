"""Feature Distillation (Liu et al., CVPR 2019): a JPEG-like quantisation of 8x8 DCT blocks with a table made for defence."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from regen_lib.core.options import Amount
from regen_lib.defenses._shared.base import Defended, straight_through
from regen_lib.defenses._shared.dct import dct_matrix

BLOCK = 8


class FeatureDistillation(Defended):
    """``network`` on images whose 8x8 DCT coefficients were rounded to multiples of a table; gradients pass straight through."""

    dct: Tensor
    table: Tensor

    def __init__(self, network: nn.Module, low: float, high: float) -> None:
        super().__init__(network)
        table = torch.full((BLOCK, BLOCK), float(high))
        table[: BLOCK // 2, : BLOCK // 2] = low
        self.register_buffer("dct", dct_matrix(BLOCK).float(), persistent=False)
        self.register_buffer("table", table, persistent=False)

    def transform(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        padded = pad(x.detach(), (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")
        blocks = padded.unfold(2, BLOCK, BLOCK).unfold(3, BLOCK, BLOCK)  # [N, C, rows, columns, 8, 8]
        coefficients = self.dct @ blocks @ self.dct.T
        blocks = self.dct.T @ (coefficients / self.table).round().mul(self.table) @ self.dct
        whole = blocks.transpose(3, 4).reshape(padded.shape)[:, :, :height, :width].clamp(0, 255)
        return straight_through(x, whole)


def feature_distillation(network: nn.Module, *, low: Amount = 25, high: Amount = 30) -> FeatureDistillation:
    """``network`` behind the quantisation: steps of ``low`` pixels for the 4x4 lowest frequencies, ``high`` for the rest."""
    return FeatureDistillation(network, low, high)
