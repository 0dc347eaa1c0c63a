"""Regenerate, the two ends of a unit: ``h = W_in x[R]`` and ``x[R] += W_out h`` at every position, R the ranked channels.

The gather of R is part of the first 1x1 convolution, the skip and the scatter are part of the last, which writes into the
layer's output itself: the channels outside R are neither read nor copied. For inference; training needs what was written over.
"""

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from regen_lib.kernels import fused, jit, tl, triton

ROWS, COLUMNS, DEPTH = 64, 32, 32  # a tile: positions, outputs, and inputs summed at a time


def gather_conv(features: Tensor, channels: Tensor, weight: Tensor) -> Tensor:
    """``[N, D, H, W]``: the 1x1 convolution ``weight`` ``[D, n]`` of the ``channels`` ``[n]`` of ``features`` ``[N, C, H, W]``."""
    return (gather_kernel if inferred(features, channels, weight) else gather_twin)(features, channels, weight)


def scatter_conv(hidden: Tensor, channels: Tensor, weight: Tensor, features: Tensor) -> Tensor:
    """``[N, C, H, W]``: ``features`` whose ``channels`` gained the 1x1 convolution ``weight`` ``[n, D]`` of ``hidden`` ``[N, D, H, W]``.

    The kernel writes into ``features``.
    """
    return (scatter_kernel if inferred(features, channels, weight, hidden) else scatter_twin)(hidden, channels, weight, features)


def inferred(features: Tensor, *others: Tensor) -> bool:
    """Whether the kernels may have these: nobody asks for gradients, the features lie as they want them, all have one type."""
    plain = not torch.is_grad_enabled() and features.is_contiguous(memory_format=torch.channels_last)
    alike = len({tensor.dtype for tensor in (features, *others) if tensor.is_floating_point()}) == 1  # indices apart; autocast mixes types
    return plain and alike and fused(features, *others)


def gather_twin(features: Tensor, channels: Tensor, weight: Tensor) -> Tensor:
    """:func:`gather_conv` in plain torch: the gather folded into weights that are zero elsewhere, 10-15 % faster than a copy on a CPU."""
    whole = weight.new_zeros(len(weight), features.shape[1]).index_copy(1, channels, weight)
    return conv2d(features, whole[:, :, None, None])


def scatter_twin(hidden: Tensor, channels: Tensor, weight: Tensor, features: Tensor) -> Tensor:
    """:func:`scatter_conv` in plain torch, the scatter folded likewise; for training too."""
    whole = weight.new_zeros(features.shape[1], weight.shape[1]).index_copy(0, channels, weight)
    return features + conv2d(hidden, whole[:, :, None, None])


def gather_kernel(features: Tensor, channels: Tensor, weight: Tensor) -> Tensor:
    """:func:`gather_conv` in one launch: a program for each tile of positions and outputs."""
    weight = weight.contiguous()
    count, total, height, width = features.shape
    outputs, inputs = weight.shape
    shape = (count, outputs, height, width)
    hidden = torch.empty(shape, dtype=features.dtype, device=features.device, memory_format=torch.channels_last)
    rows = count * height * width
    grid = (triton.cdiv(rows, ROWS), triton.cdiv(outputs, COLUMNS))
    _gather[grid](features, channels, weight, hidden, rows, total, inputs, outputs, ROWS=ROWS, COLUMNS=COLUMNS, DEPTH=DEPTH)
    return hidden


def scatter_kernel(hidden: Tensor, channels: Tensor, weight: Tensor, features: Tensor) -> Tensor:
    """:func:`scatter_conv` in one launch and in place."""
    hidden, weight = hidden.contiguous(memory_format=torch.channels_last), weight.contiguous()
    count, total, height, width = features.shape
    outputs, inputs = weight.shape
    rows = count * height * width
    grid = (triton.cdiv(rows, ROWS), triton.cdiv(outputs, COLUMNS))
    _scatter[grid](hidden, channels, weight, features, rows, total, inputs, outputs, ROWS=ROWS, COLUMNS=COLUMNS, DEPTH=DEPTH)
    return features


@jit
def _gather(  # type: ignore[no-untyped-def]
    features, channels, weight, hidden, rows, total, inputs, outputs,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,  # noqa: N803
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    total_sum = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, inputs, DEPTH):
        depth = start + tl.arange(0, DEPTH)
        channel = tl.load(channels + depth, mask=depth < inputs, other=0)
        seen = (row[:, None] < rows) & (depth[None, :] < inputs)
        x = tl.load(features + row[:, None] * total + channel[None, :], mask=seen, other=0.0)
        known = (depth[:, None] < inputs) & (column[None, :] < outputs)
        w = tl.load(weight + column[None, :] * inputs + depth[:, None], mask=known, other=0.0)
        total_sum += tl.dot(x, w, input_precision="ieee")
    inside = (row[:, None] < rows) & (column[None, :] < outputs)
    tl.store(hidden + row[:, None] * outputs + column[None, :], total_sum.to(hidden.dtype.element_ty), mask=inside)


@jit
def _scatter(  # type: ignore[no-untyped-def]
    hidden, channels, weight, features, rows, total, inputs, outputs,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,  # noqa: N803
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    total_sum = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, inputs, DEPTH):
        depth = start + tl.arange(0, DEPTH)
        seen = (row[:, None] < rows) & (depth[None, :] < inputs)
        h = tl.load(hidden + row[:, None] * inputs + depth[None, :], mask=seen, other=0.0)
        known = (depth[:, None] < inputs) & (column[None, :] < outputs)
        w = tl.load(weight + column[None, :] * inputs + depth[:, None], mask=known, other=0.0)
        total_sum += tl.dot(h, w, input_precision="ieee")
    inside = (row[:, None] < rows) & (column[None, :] < outputs)
    at = features + row[:, None] * total + tl.load(channels + column, mask=column < outputs, other=0)[None, :]
    tl.store(at, (tl.load(at, mask=inside, other=0.0).to(tl.float32) + total_sum).to(features.dtype.element_ty), mask=inside)
