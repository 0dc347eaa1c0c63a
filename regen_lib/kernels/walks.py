"""Walks of Algorithm 1 in coefficients: ``c <- (1 - a) c + a e_m`` until ``c' G c > eta^2``, G the Gram matrix of the bank.

``u = G c`` is carried along, ``u <- (1 - a) u + a G[m]``, so that a step costs K and not K^2. A program each walk: all walks are
one launch, however long each takes. Everything is float64.
"""

import torch
from torch import Tensor

from regen_lib.kernels import fused, jit, tl, triton


def advance(gram: Tensor, c: Tensor, u: Tensor, steps: Tensor, alpha: Tensor, member: Tensor, limit: Tensor) -> None:
    """Walk on, in place, with the draws ``alpha`` and ``member`` ``[T, n]`` of T steps; a walk past ``limit`` ``[]`` = eta^2 stands still.

    ``gram`` ``[K, K]``; ``c`` and ``u`` ``[n, K]``, the coefficients and their products with ``gram``; ``steps`` ``[n]`` counts.
    """
    (kernel if fused(gram, c, u, steps, alpha, member) else twin)(gram, c, u, steps, alpha, member, limit)


def past(c: Tensor, u: Tensor, limit: Tensor) -> Tensor:
    """Which walks have ended: ``[n]``."""
    return (c * u).sum(1) > limit


def twin(gram: Tensor, c: Tensor, u: Tensor, steps: Tensor, alpha: Tensor, member: Tensor, limit: Tensor) -> None:
    """The same in plain torch, step by step for all walks that still run."""
    running = (~past(c, u, limit)).nonzero()[:, 0]
    for a, m in zip(alpha, member, strict=True):
        if not len(running):
            return
        a, m = a[running, None], m[running]
        mine = c[running] * (1 - a)
        mine[torch.arange(len(running), device=c.device), m] += a[:, 0]
        product = u[running] * (1 - a) + a * gram[m]
        c[running], u[running] = mine, product
        steps[running] += 1
        running = running[~past(mine, product, limit)]


def kernel(gram: Tensor, c: Tensor, u: Tensor, steps: Tensor, alpha: Tensor, member: Tensor, limit: Tensor) -> None:
    """The same in one launch; the limit is a tensor because Triton would round a number to float32."""
    count, members = c.shape
    width = triton.next_power_of_2(members)
    _walk[(count,)](gram, c, u, steps, alpha, member, limit, len(alpha), count, members, WIDTH=width, num_warps=1)


@jit
def _walk(  # type: ignore[no-untyped-def]
    gram, c, u, steps, alpha, member, limit, most, count, members,
    WIDTH: tl.constexpr,  # noqa: N803
):  # fmt: skip
    walk = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, WIDTH)
    mine = tl.load(c + walk * members + at, mask=at < members, other=0.0)
    product = tl.load(u + walk * members + at, mask=at < members, other=0.0)
    t, eta2 = 0, tl.load(limit)
    while (t < most) & (tl.sum(mine * product) <= eta2):
        a = tl.load(alpha + t * count + walk)
        m = tl.load(member + t * count + walk)
        mine = mine * (1 - a) + tl.where(at == m, a, 0.0)
        product = product * (1 - a) + a * tl.load(gram + m * members + at, mask=at < members, other=0.0)
        t += 1
    tl.store(c + walk * members + at, mine, mask=at < members)
    tl.store(u + walk * members + at, product, mask=at < members)
    tl.store(steps + walk, tl.load(steps + walk) + t)
