"""Algorithm 1's walks in Triton: a program each, so that they are one launch, however long each of them takes."""

import triton
import triton.language as tl
from torch import Tensor


def advance(gram: Tensor, c: Tensor, u: Tensor, steps: Tensor, alpha: Tensor, member: Tensor, limit: Tensor) -> None:
    """As :func:`regen_lib.regeneration.synthesis.advance` says; the limit is a tensor because Triton would round a number to float32."""
    count, members = c.shape
    width = triton.next_power_of_2(members)
    _walk[(count,)](gram, c, u, steps, alpha, member, limit, len(alpha), count, members, WIDTH=width, num_warps=1)


@triton.jit  # type: ignore[untyped-decorator]
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
