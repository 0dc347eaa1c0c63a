"""Perturb: ``out[i] = (clip(pixels[i] + v[choice[i]]) - mean) / std``, from uint8 to a network's input in one read and one write.

``clip`` to [0, 255] and the normalisation are both left out on request.
"""

import torch
from torch import Tensor

from regen_lib.kernels import fused, jit, tl, triton

PIXEL_MAX = 255.0
BLOCK = 1024


def perturb(
    pixels: Tensor,
    v: Tensor,
    choice: Tensor,
    *,
    clip: bool = False,
    normal: tuple[Tensor, Tensor] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Images ``[N, C, H, W]`` in ``dtype``, ``channels_last``, image i with ``v[choice[i]]``.

    ``pixels`` uint8 ``[N, C, H, W]`` and ``v`` float32 ``[K, C, H, W]`` in 0-255, ``choice`` int64 ``[N]``; ``normal``: mean and
    deviation of each channel, of any shape with C values. Computed in float32, rounded once.
    """
    run = kernel if fused(pixels, v, choice) else twin
    return run(pixels, v, choice, clip, normal, dtype)


def twin(pixels: Tensor, v: Tensor, choice: Tensor, clip: bool, normal: tuple[Tensor, Tensor] | None, dtype: torch.dtype) -> Tensor:
    """The same in plain torch."""
    x = pixels.to(torch.float32, memory_format=torch.channels_last) + v[choice]
    x = x.clamp_(0, PIXEL_MAX) if clip else x
    if normal is not None:
        mean, std = (values.view(1, -1, 1, 1) for values in normal)
        x = (x - mean) / std
    return x.to(dtype)


def kernel(pixels: Tensor, v: Tensor, choice: Tensor, clip: bool, normal: tuple[Tensor, Tensor] | None, dtype: torch.dtype) -> Tensor:
    """The same in one launch: a program for each block of an image's values, in the order in which they are written."""
    count, channels, height, width = pixels.shape
    pixels, v = (t.contiguous(memory_format=torch.channels_last) for t in (pixels, v))
    out = torch.empty(pixels.shape, dtype=dtype, device=pixels.device, memory_format=torch.channels_last)
    mean, std = (pixels.new_zeros(1, dtype=torch.float32),) * 2 if normal is None else (t.flatten().contiguous() for t in normal)
    size = channels * height * width
    grid = (triton.cdiv(size, BLOCK), count)
    _perturb[grid](pixels, v, choice, mean, std, out, size, channels, CLIP=clip, NORMAL=normal is not None, BLOCK=BLOCK)
    return out


@jit
def _perturb(  # type: ignore[no-untyped-def]
    pixels, v, choice, mean, std, out, size, channels,
    CLIP: tl.constexpr, NORMAL: tl.constexpr, BLOCK: tl.constexpr,  # noqa: N803
):  # fmt: skip
    image = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    x = tl.load(pixels + image * size + at, mask=inside, other=0).to(tl.float32)
    x += tl.load(v + tl.load(choice + image) * size + at, mask=inside, other=0.0)
    if CLIP:
        x = tl.minimum(tl.maximum(x, 0.0), 255.0)
    if NORMAL:
        channel = at % channels
        x = (x - tl.load(mean + channel)) / tl.load(std + channel)
    tl.store(out + image * size + at, x.to(out.dtype.element_ty), mask=inside)
