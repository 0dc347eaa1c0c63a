"""Singular Fool (Khrulkov and Oseledets, CVPR 2018): the (p, q) singular vectors of a layer's Jacobian."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import torch
from annotated_types import Ge, MinLen
from torch import Tensor, nn
from torch.func import jvp, vjp
from torch.nn.attention import SDPBackend, sdpa_kernel

from regen_lib.attacks._shared import door
from regen_lib.attacks._shared.side_by_side import progress_bar, to_bank
from regen_lib.core.depth import at_depth, named, upto
from regen_lib.core.images import as_input
from regen_lib.core.members import member_fooling, predictions, split
from regen_lib.core.options import Count, Share
from regen_lib.core.perturbations import Bank, Threat
from regen_lib.core.seeding import generator
from regen_lib.core.wrappers import eager


@door.attack()
def singular_fool(
    network: nn.Module,
    pixels: Tensor,
    threat: Threat,
    *,
    seed: int,
    count: Count,
    depths: Annotated[Sequence[Share], MinLen(1)] = (0.25, 0.5),
    layers: Sequence[str] = (),
    q: Annotated[float, Ge(1)] = 5.0,
    iterations: Count = 30,
    batch: Count = 64,
) -> Bank:
    """``count`` universal perturbations ``xi * argmax ||J v||_q / ||v||_p``, J a layer's Jacobians at ``batch`` images, stacked.

    ``depths`` are the layers, as fractions of the network's parts in the order in which they run (its top-level parts, where
    none holds more than half of the layers: :func:`regen_lib.core.depth.parts`); or ``layers`` names them. The perturbations
    take them in turn. p is the threat's norm. :class:`StudyError` for a layer that the network does not run.
    """
    parts = split(pixels, count)
    with eager(network):
        probe = as_input(parts[0, :1])
        chosen = [named(network, layer) for layer in layers] or [at_depth(network, probe, depth) for depth in depths]
    made = []
    for k in (progress := progress_bar(range(count), "singular_fool", network)):
        layer = upto(network, *chosen[k % len(chosen)])
        x = as_input(parts[k, :batch])
        start = torch.rand(1, *x.shape[1:], generator=generator(seed, "singular fool", k)) - 0.5
        with eager(network), plain_attention():
            made.append(singular_vector(shifted(layer, x), start, threat.norm, q, iterations))
        progress.set_postfix(layer=(layers or depths)[k % len(chosen)])
    v = threat.project(threat.xi * torch.cat(made))
    fooling = member_fooling(network, parts, predictions(network, parts), v, range(count))
    return to_bank("singular_fool", network, threat, v, fooling, [sum(fooling) / count], seed)


@contextmanager
def plain_attention() -> Iterator[None]:
    """Within, attention is computed by operations that have derivatives in forward mode."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def shifted(layer: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[Tensor], Tensor]:
    """What ``layer`` makes of all images ``x`` moved by one ``v``."""
    return lambda v: layer(x + v)


def singular_vector(function: Callable[[Tensor], Tensor], start: Tensor, p: float, q: float, iterations: int) -> Tensor:
    """The unit ``v`` (p norm) that makes ``||J v||_q`` largest, J the Jacobian of ``function`` at zero: the generalised power method.

    ``v <- psi_p'(J^T psi_q(J v))`` with ``psi_r(x) = sign(x) |x|^(r-1)`` and ``1/p + 1/p' = 1`` (Boyd 1974); for p = inf a sign.
    """
    zero, v = torch.zeros_like(start), dual(start, p)
    transpose = vjp(function, zero)[1]
    for _ in range(iterations):
        image = jvp(function, (zero,), (v,))[1]
        v = dual(transpose(psi(image / image.abs().max().clamp_min(1e-30), q))[0], p)
    return v.detach()


def psi(x: Tensor, r: float) -> Tensor:
    """``sign(x) |x|^(r-1)``."""
    return x.sign() * x.abs().pow(r - 1)


def dual(w: Tensor, p: float) -> Tensor:
    """The unit vector (p norm) with the largest inner product with ``w``."""
    if p == math.inf:
        return w.sign()
    scaled = psi(w / w.abs().max().clamp_min(1e-30), p / (p - 1))
    return scaled / torch.linalg.vector_norm(scaled, p)
