"""Algorithm 1: many synthetic perturbations from few (Sec. 4.3), and a sampler that really mixes them."""

from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor

from regen_lib.core import contract, options
from regen_lib.core.errors import StudyError
from regen_lib.core.options import Count, Natural, Share
from regen_lib.core.perturbations import Threat
from regen_lib.core.seeding import generator

MAX_STEPS = 100_000
ETA_SCALE = (
    0.95  # of perturbations that fill their bound, whose norms are nearly equal: at 1 a walk of convex combinations would hardly end
)
AT_ONCE = 50  # steps whose draws are made ahead
TRITON = find_spec("triton") is not None


@dataclass(frozen=True)
class Walks:
    """Where Algorithm 1's walks stopped: ``coefficients`` float64 ``[count, K]`` over the bank, and their ``steps`` ``[count]``."""

    coefficients: Tensor
    steps: Tensor

    def mixed(self) -> Tensor:
        """The effective number of members in each walk, ``(sum c)^2 / sum c^2``: 1 is a copy. ``[count]``."""
        return self.coefficients.sum(1) ** 2 / self.coefficients.square().sum(1)


def threshold(bank: Tensor, eta_scale: float = 1.0) -> float:
    """eta: the smallest l2 norm in the bank ``[K, C, H, W]`` (Sec. 4.3), times ``eta_scale``."""
    return eta_scale * float(bank.double().flatten(1).norm(dim=1).min())


def walk(bank: Tensor, count: Natural, *, rng: torch.Generator, eta_scale: Share = 1.0, max_steps: Count = MAX_STEPS) -> Walks:
    """Algorithm 1, ``count`` walks at once, in the coefficients of the bank ``[K, C, H, W]``.

    ``v <- a v_new + (1 - a) v`` keeps v a combination ``c`` of the bank, so ``||v||^2 = c' G c`` with the Gram matrix G: a
    step costs K whatever the size of the images. At step t every walk takes its a, then its v_new, from ``rng``.
    :class:`StudyError` where ``max_steps`` do not get every walk past eta, and for a bank, number or ``eta_scale`` that cannot be used.
    """
    contract.stack(bank)
    options.check_given(walk, {"count": count, "rng": rng, "eta_scale": eta_scale, "max_steps": max_steps})
    flat = bank.double().flatten(1)
    gram, eta = flat @ flat.T, threshold(bank, eta_scale)
    coefficients, products = torch.zeros(2, count, len(bank), dtype=torch.float64)
    steps, limit = torch.zeros(count, dtype=torch.long), torch.tensor(eta**2, dtype=torch.float64)
    for start in range(0, max_steps, AT_ONCE):
        drawn = [draws(count, len(bank), rng) for _ in range(min(AT_ONCE, max_steps - start))]
        alpha, member = (torch.stack(values) for values in zip(*drawn, strict=True))
        advance(gram, coefficients, products, steps, alpha, member, limit)
        ended = past(coefficients, products, limit)
        if bool(ended.all()):
            return Walks(coefficients, steps)
    raise StudyError(
        f"{count - int(ended.sum())} of {count} walks are below eta = {eta:g} after {max_steps} steps: a convex combination cannot exceed"
        " the norm of its members, so a bank of (nearly) equal l2 norms never stops; set synthesis.eta_scale below 1"
    )


def advance(gram: Tensor, c: Tensor, u: Tensor, steps: Tensor, alpha: Tensor, member: Tensor, limit: Tensor) -> None:
    """Walk on, in place, with the draws ``alpha`` and ``member`` ``[T, n]`` of T steps; a walk past ``limit`` ``[]`` = eta^2 stands still.

    ``c <- (1 - a) c + a e_m``, and with it ``u = G c``: ``u <- (1 - a) u + a G[m]``. ``gram`` ``[K, K]``, ``c`` and ``u``
    ``[n, K]``, all float64; ``steps`` ``[n]`` counts. On a GPU all steps of all walks are one launch of a Triton kernel.
    """
    if c.is_cuda and TRITON:
        from regen_lib.regeneration import walks_triton  # half a second, which every stage on a CPU would pay

        walks_triton.advance(gram, c, u, steps, alpha, member, limit)
    else:
        step_by_step(gram, c, u, steps, alpha, member, limit)


def step_by_step(gram: Tensor, c: Tensor, u: Tensor, steps: Tensor, alpha: Tensor, member: Tensor, limit: Tensor) -> None:
    """:func:`advance` in plain torch: each step for all walks that still run."""
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


def past(c: Tensor, u: Tensor, limit: Tensor) -> Tensor:
    """Which walks have ended, ``c' G c > eta^2``: ``[n]``."""
    return (c * u).sum(1) > limit


def draws(count: int, members: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Step t's scale factors a ``[count]`` in [0, 1) and bank members ``[count]``, for all walks."""
    alpha = torch.rand(count, generator=rng, dtype=torch.float64)
    return alpha, torch.randint(members, (count,), generator=rng)


def synthesize(bank: Tensor, walks: Walks) -> Tensor:
    """The perturbations that the walks stand for: one matrix product, ``[count, C, H, W]`` float32.

    :class:`StudyError` for walks over another number of perturbations than are in ``bank``.
    """
    contract.stack(bank)
    options.check_given(synthesize, {"walks": walks})
    if (members := walks.coefficients.shape[1]) != len(bank):
        raise StudyError(f"walks over {members} perturbations, the bank has {len(bank)}: give the bank that they were walked in")
    mixed = walks.coefficients.float() @ bank.flatten(1)
    return mixed.unflatten(1, bank.shape[1:])


def diverse(bank: Tensor, count: int, threat: Threat, *, rng: torch.Generator) -> Tensor:
    """An alternative to Algorithm 1 that does not end next to a member: ``[count, C, H, W]`` within the threat.

    Dirichlet(1) weights over the whole bank, a random sign for each member, scaled to a norm drawn from the bank's own
    l2 norms, then projected.
    """
    flat = bank.flatten(1)
    weights = -torch.rand(count, len(bank), generator=rng).clamp_min(1e-12).log()  # exponential: Dirichlet up to scale
    signs = torch.randint(2, weights.shape, generator=rng) * 2 - 1
    mixed = (weights * signs) @ flat
    target = flat.norm(dim=1)[torch.randint(len(bank), (count,), generator=rng)]
    mixed = mixed * (target / mixed.norm(dim=1).clamp_min(1e-12))[:, None]
    return threat.project(mixed.unflatten(1, bank.shape[1:]))


def nearest_cosine(perturbations: Tensor, bank: Tensor) -> Tensor:
    """The largest absolute cosine of each perturbation ``[n, ...]`` with a member of the bank: ``[n]``. 1 is a copy."""
    unit = torch.nn.functional.normalize(bank.flatten(1), dim=1)
    mine = torch.nn.functional.normalize(perturbations.flatten(1), dim=1)
    return (mine @ unit.T).abs().amax(1)


def make(method: str, bank: Tensor, threat: Threat, count: int, *, seed: int, name: str, eta_scale: float = 1.0) -> Tensor:
    """Synthetic perturbations ``[count, C, H, W]`` for network ``name`` by ``method``: ``paper`` (Algorithm 1) or ``diverse``."""
    rng = generator(seed, "synthesis", name, method)
    if method == "paper":
        return synthesize(bank, walk(bank, count, rng=rng, eta_scale=eta_scale))
    if method == "diverse":
        return diverse(bank, count, threat, rng=rng)
    raise StudyError(f"synthesis method {method!r} is unknown: choose paper or diverse")
