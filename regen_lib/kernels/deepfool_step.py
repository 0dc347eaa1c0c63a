"""DeepFool's step: ``r = (|f_k| / ||w_k||^2) w_k`` at ``k = argmin_k |f_k| / ||w_k||``, f and w the differences to the label.

One program an image reads its k - 1 gradients once for their norms and the nearest one again for the step; no difference, norm
or candidate is ever written.
"""

import torch
from torch import Tensor

from regen_lib.kernels import fused, jit, tl

BLOCK = 1024
TINY = 1e-12


def step(outputs: Tensor, gradients: Tensor, classes: Tensor) -> Tensor:
    """The smallest step to a linearised class boundary: logits ``[n, classes]``, gradients ``[k-1, n, C, H, W]`` to ``[n, C, H, W]``.

    ``classes`` ``[n, k]`` are the candidates, the label first; the j-th gradient is that of ``z[classes[:, j+1]] - z[classes[:, 0]]``.
    """
    return (kernel if fused(outputs, gradients, classes) else twin)(outputs, gradients, classes)


def twin(outputs: Tensor, gradients: Tensor, classes: Tensor) -> Tensor:
    """The same in plain torch."""
    f = outputs.gather(1, classes)
    f = (f[:, 1:] - f[:, :1]).abs()
    w = gradients.transpose(0, 1)  # [n, k-1, C, H, W]
    length = w.flatten(2).norm(dim=2).clamp_min(TINY)
    nearest = (f / length).argmin(1)
    row = torch.arange(len(f), device=f.device)
    factor = f[row, nearest] / length[row, nearest] ** 2
    return factor.view(-1, 1, 1, 1) * w[row, nearest]


def kernel(outputs: Tensor, gradients: Tensor, classes: Tensor) -> Tensor:
    """The same in one launch: a program for each image."""
    others, count = gradients.shape[:2]
    gradients, classes = gradients.contiguous(), classes.contiguous()
    result = torch.empty_like(gradients[0])
    size = result[0].numel()
    _step[(count,)](outputs.contiguous(), gradients, classes, result, count, outputs.shape[1], size, OTHERS=others, BLOCK=BLOCK, TINY=TINY)
    return result


@jit
def _step(  # type: ignore[no-untyped-def]
    outputs, gradients, classes, result, count, logits, size,
    OTHERS: tl.constexpr, BLOCK: tl.constexpr, TINY: tl.constexpr,  # noqa: N803
):  # fmt: skip
    image = tl.program_id(0).to(tl.int64)
    label = tl.load(outputs + image * logits + tl.load(classes + image * (OTHERS + 1)))
    best, nearest, factor = float("inf"), image * 0, 0.0
    for k in range(OTHERS):
        squares = tl.zeros((BLOCK,), tl.float32)
        for start in range(0, size, BLOCK):
            at = start + tl.arange(0, BLOCK)
            w = tl.load(gradients + (k * count + image) * size + at, mask=at < size, other=0.0)
            squares += w * w
        length = tl.maximum(tl.sqrt(tl.sum(squares)), TINY)
        f = tl.abs(tl.load(outputs + image * logits + tl.load(classes + image * (OTHERS + 1) + k + 1)) - label)
        closer = f / length < best
        best = tl.where(closer, f / length, best)
        nearest = tl.where(closer, k, nearest)
        factor = tl.where(closer, f / (length * length), factor)
    for start in range(0, size, BLOCK):
        at = start + tl.arange(0, BLOCK)
        w = tl.load(gradients + (nearest * count + image) * size + at, mask=at < size, other=0.0)
        tl.store(result + image * size + at, factor * w, mask=at < size)
