"""Universal step: ``v <- project(v + s d(sum_i g_i))``, d the sign (l-inf) or the normalised gradient (l2), g_i the images' gradients.

l-inf projects by clipping to [-xi, xi], l2 by scaling back to the sphere of radius xi. The sum over the images, the direction,
the step and the projection are one pass over the gradients.
"""

import math

import torch
from torch import Tensor

from regen_lib.kernels import fused, jit, tl, triton

BLOCK = 1024
TINY = 1e-12


def universal_step(v: Tensor, gradients: Tensor, size: float, norm: float, xi: float) -> Tensor:
    """The next perturbations ``[K, C, H, W]`` from ``v`` and each one's images' ``gradients`` ``[K, b, C, H, W]``.

    ``size`` is the step in pixels, ``norm`` inf or 2, ``xi`` the bound.
    """
    return (kernel if fused(v, gradients) else twin)(v, gradients, size, norm, xi)


def twin(v: Tensor, gradients: Tensor, size: float, norm: float, xi: float) -> Tensor:
    """The same in plain torch."""
    total = gradients[:, 0] if gradients.shape[1] == 1 else gradients.sum(1)
    if norm == math.inf:
        return (v + size * total.sign()).clamp(-xi, xi)
    moved = v + size * torch.nn.functional.normalize(total.flatten(1), dim=1).view_as(total)
    length = torch.linalg.vector_norm(moved.flatten(1), 2, dim=1).clamp_min(TINY)
    return moved * (xi / length).clamp_max(1).view(-1, 1, 1, 1)


def kernel(v: Tensor, gradients: Tensor, size: float, norm: float, xi: float) -> Tensor:
    """The same in one launch: l-inf by blocks of values, l2 by a program for each perturbation."""
    v, gradients = v.contiguous(), gradients.contiguous()
    result, (count, images), values = torch.empty_like(v), gradients.shape[:2], v[0].numel()
    if norm == math.inf:
        _signs[(triton.cdiv(values, BLOCK), count)](v, gradients, result, images, values, size, xi, BLOCK=BLOCK)
    else:
        _sphere[(count,)](v, gradients, result, images, values, size, xi, BLOCK=BLOCK, TINY=TINY)
    return result


@jit
def _summed(gradients, member, images, values, at, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: N803
    total = tl.zeros((BLOCK,), tl.float32)
    for image in range(images):
        total += tl.load(gradients + (member * images + image) * values + at, mask=at < values, other=0.0)
    return total


@jit
def _signs(v, gradients, result, images, values, size, xi, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: N803
    member = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = _summed(gradients, member, images, values, at, BLOCK)
    sign = tl.where(total > 0, 1.0, 0.0) - tl.where(total < 0, 1.0, 0.0)
    moved = tl.load(v + member * values + at, mask=at < values, other=0.0) + size * sign
    tl.store(result + member * values + at, tl.minimum(tl.maximum(moved, -xi), xi), mask=at < values)


@jit
def _sphere(  # type: ignore[no-untyped-def]
    v, gradients, result, images, values, size, xi, BLOCK: tl.constexpr, TINY: tl.constexpr,  # noqa: N803
):  # fmt: skip
    member = tl.program_id(0).to(tl.int64)
    vv, vg, gg = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    for start in range(0, values, BLOCK):
        at = start + tl.arange(0, BLOCK)
        g = _summed(gradients, member, images, values, at, BLOCK)
        x = tl.load(v + member * values + at, mask=at < values, other=0.0)
        tl.store(result + member * values + at, g, mask=at < values)
        vv, vg, gg = vv + x * x, vg + x * g, gg + g * g
    tl.debug_barrier()  # what is read below is what another thread may have written above
    stride = size / tl.maximum(tl.sqrt(tl.sum(gg)), TINY)
    length = tl.sqrt(tl.maximum(tl.sum(vv) + 2 * stride * tl.sum(vg) + stride * stride * tl.sum(gg), 0.0))
    scale = tl.minimum(xi / tl.maximum(length, TINY), 1.0)
    for start in range(0, values, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(v + member * values + at, mask=at < values, other=0.0)
        g = tl.load(result + member * values + at, mask=at < values, other=0.0)
        tl.store(result + member * values + at, scale * (x + stride * g), mask=at < values)
