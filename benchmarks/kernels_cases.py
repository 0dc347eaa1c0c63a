"""What each kernel is given: the sizes of 224 x 224 images and of the laptop's, and shapes that fit no block, for checks."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from regen_lib.kernels import deepfool_step, perturb, regenerate, universal_step, walks

LIMITS = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}  # of ||out - reference|| / ||reference||
Arguments = tuple[Any, ...]
Operation = Callable[..., Tensor]


@dataclass(frozen=True)
class Case:
    """One operation at one size: its kernel, its plain torch ``twin``, and how to draw fresh arguments for them.

    ``moved`` are the bytes that any version must read and write, each value once. ``dense`` is what ``torch.compile`` gets where
    it could not compile the twin as a whole; ``replays``: whether the twin can be captured in a CUDA graph.
    """

    kernel: str
    size: str
    dtype: torch.dtype
    fused: Callable[..., Any]
    twin: Callable[..., Any]
    draw: Callable[[torch.Generator], Arguments]
    moved: int
    dense: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None
    replays: bool = True


def normal(*shape: int, rng: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal values on the generator's device."""
    return torch.randn(*shape, generator=rng, device=rng.device).to(dtype)


def whole(high: int, *shape: int, rng: torch.Generator, dtype: torch.dtype = torch.long) -> Tensor:
    """Whole numbers from 0 to ``high`` - 1 on the generator's device."""
    return torch.randint(high, shape, generator=rng, device=rng.device).to(dtype)


def lying(tensor: Tensor, layout: torch.memory_format) -> Tensor:
    """The last four dimensions in ``layout``."""
    return tensor.flatten(0, -4).contiguous(memory_format=layout).unflatten(0, tensor.shape[:-3])


def perturbing(
    count: int,
    shape: Sequence[int],
    layout: torch.memory_format = torch.contiguous_format,
    dtype: torch.dtype = torch.float32,
    clip: bool = False,
    scaled: bool = False,
) -> Case:
    """``count`` images with 25 perturbations; the study's images lie contiguous."""

    def draw(rng: torch.Generator) -> Arguments:
        values = whole(256, count, *shape, rng=rng, dtype=torch.uint8)
        mean, std = normal(shape[0], rng=rng) * 20 + 110, normal(shape[0], rng=rng).abs() + 50
        v = normal(25, *shape, rng=rng) * 10
        return lying(values, layout), v, whole(25, count, rng=rng), clip, (mean, std) if scaled else None, dtype

    moved = math.prod(shape) * (count * (1 + dtype.itemsize) + 25 * 4)
    size = f"{count} x {'x'.join(map(str, shape))}" + (", channels_last" if layout == torch.channels_last else "")
    return Case("perturb", size, dtype, perturb.kernel, perturb.twin, draw, moved)


def unit_ends(count: int, channels: int, ranked: int, side: int, dtype: torch.dtype = torch.float32) -> Iterator[Case]:
    """Both ends of a unit of width D = N on ``ranked`` of the ``channels``."""
    size, rows = f"{count} images, {ranked} of {channels} channels at {side}x{side}", count * side * side
    weights = ranked * ranked

    def features(rng: torch.Generator, total: int) -> Tensor:
        return normal(count, total, side, side, rng=rng, dtype=dtype).contiguous(memory_format=torch.channels_last)

    def chosen(rng: torch.Generator) -> tuple[Tensor, Tensor]:
        weight = normal(ranked, ranked, rng=rng) / math.sqrt(ranked)
        return torch.randperm(channels, generator=rng, device=rng.device)[:ranked], weight.to(dtype)

    def inwards(rng: torch.Generator) -> Arguments:
        return features(rng, channels), *chosen(rng)

    def outwards(rng: torch.Generator) -> Arguments:
        return features(rng, ranked), *chosen(rng), features(rng, channels)

    once = dtype.itemsize * (rows * ranked + weights)
    ends = (regenerate.gather_kernel, regenerate.gather_twin), (regenerate.scatter_kernel, regenerate.scatter_twin)
    yield Case("unit, first convolution", size, dtype, *ends[0], inwards, once + dtype.itemsize * rows * ranked)
    yield Case("unit, last convolution", size, dtype, *ends[1], outwards, once + 2 * dtype.itemsize * rows * ranked)


def slopes(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The gradients of the sum of squares of what ``function`` gives, by all its arguments that can have some, end to end."""

    def run(*arguments: Tensor) -> Tensor:
        leaves = [each.requires_grad_() if each.is_floating_point() else each for each in arguments]
        with torch.enable_grad():
            loss = function(*leaves).square().sum()
        return torch.cat([slope.flatten() for slope in torch.autograd.grad(loss, [each for each in leaves if each.requires_grad])])

    return run


def unit_slopes(count: int, channels: int, ranked: int, side: int) -> Iterator[Case]:
    """Both ends of a unit, forward and backward, by the doors that choose between kernel and twin."""
    first, last = unit_ends(count, channels, ranked, side)
    doors: tuple[tuple[Operation, Operation], ...] = (
        (regenerate.gather_conv, regenerate.gather_twin),
        (regenerate.scatter_conv, regenerate.scatter_twin),
    )
    for case, (door, twin) in zip((first, last), doors, strict=True):
        yield replace(case, kernel=f"{case.kernel}, backward", fused=slopes(door), twin=slopes(twin))


def nearest(count: int, others: int, shape: Sequence[int], layout: torch.memory_format = torch.contiguous_format) -> Case:
    """DeepFool's step for ``count`` images and ``others`` classes beside the label."""

    def draw(rng: torch.Generator) -> Arguments:
        outputs = normal(count, 10 * others, rng=rng)
        gradients = lying(normal(others, count, *shape, rng=rng) * 1e-2, layout)
        return outputs, gradients, outputs.argsort(1, descending=True)[:, : others + 1].contiguous()

    size = f"{count} x {'x'.join(map(str, shape))}, {others + 1} classes" + (", channels_last" if layout == torch.channels_last else "")
    moved = (others + 1) * count * math.prod(shape) * 4
    return Case("DeepFool step", size, torch.float32, deepfool_step.kernel, deepfool_step.twin, draw, moved)


def universal(lanes: int, images: int, shape: Sequence[int], norm: float) -> Case:
    """A step of ``lanes`` perturbations, each with the gradients of ``images`` images; multiples of 1/8, whose sums are exact."""

    def draw(rng: torch.Generator) -> Arguments:
        v, gradients = normal(lanes, *shape, rng=rng) * 5, (whole(33, lanes, images, *shape, rng=rng) - 16).float() / 8
        return v, gradients, 1.0, norm, 10.0 if norm == math.inf else 2000.0

    size = f"{lanes} x {'x'.join(map(str, shape))}, {images} gradients each, {'l-inf' if norm == math.inf else 'l2'}"
    moved = lanes * (images + 2) * math.prod(shape) * 4
    return Case("universal step", size, torch.float32, universal_step.kernel, universal_step.twin, draw, moved)


def dense_step(gram: Tensor, c: Tensor, u: Tensor, steps: Tensor, a: Tensor, m: Tensor, limit: Tensor) -> None:
    """A step of all walks, those that have ended too, which stay where they are: shapes that ``torch.compile`` can have."""
    running = (c * u).sum(1) <= limit
    a = torch.where(running, a, 0.0)[:, None]
    c.mul_(1 - a).scatter_add_(1, m[:, None], a)
    u.mul_(1 - a).add_(a * gram[m])
    steps.add_(running)


def dense_walks(step: Callable[..., Any]) -> Callable[..., None]:
    """All steps, each by ``step``."""

    def advance(gram: Tensor, c: Tensor, u: Tensor, steps: Tensor, alpha: Tensor, member: Tensor, limit: Tensor) -> None:
        for a, m in zip(alpha, member, strict=True):
            step(gram, c, u, steps, a, m, limit)

    return advance


def walking(count: int, members: int, most: int, ends: bool = False) -> Case:
    """``most`` steps of ``count`` walks; unless they have ``ends`` none gets there, so that all take all steps."""

    def draw(rng: torch.Generator) -> Arguments:
        bank = normal(members, 64, rng=rng, dtype=torch.float64) + torch.linspace(0.5, 1.5, members, device=rng.device).double()[:, None]
        gram = bank @ bank.T
        c, u = torch.zeros(2, count, members, dtype=torch.float64, device=rng.device).unbind()
        alpha = torch.rand(most, count, dtype=torch.float64, generator=rng, device=rng.device)
        limit = gram.diagonal().min() if ends else gram.new_tensor(1e12)
        return gram, c, u, whole(1, count, rng=rng), alpha, whole(members, most, count, rng=rng), limit

    moved = 16 * count * most + 32 * count * members
    size = f"{count} walks of {most} steps, {members} members"
    return Case("walks", size, torch.float64, walks.kernel, walks.twin, draw, moved, dense_walks, replays=False)


IMAGE, LAPTOP, LAST = (3, 224, 224), (1, 28, 28), torch.channels_last


def timed() -> Iterator[Case]:
    """At the sizes of 224 x 224 images, as the study's stages call them, and at the laptop's, where launching is all."""
    yield from (
        perturbing(64, IMAGE),
        perturbing(125, IMAGE),
        perturbing(256, IMAGE),
        perturbing(125, IMAGE, LAST),
        perturbing(125, LAPTOP),
    )
    for channels, side in ((64, 112), (192, 56), (128, 28), (320, 7)):
        yield from unit_ends(125, channels, channels // 2, side)
    for channels, side in ((64, 112), (128, 28)):
        yield from unit_ends(125, channels, channels // 2, side, torch.bfloat16)
    yield from (nearest(64, 9, IMAGE), nearest(256, 9, IMAGE), nearest(64, 9, IMAGE, LAST), nearest(256, 2, LAPTOP))
    for norm in (math.inf, 2.0):
        yield from (universal(5, 1, IMAGE, norm), universal(25, 1, IMAGE, norm), universal(5, 1, LAPTOP, norm))
    yield from (walking(2000, 25, 50), walking(10000, 25, 50))


def odd() -> Iterator[Case]:
    """Sizes that are no multiples of a block, single images and channels, every type and option."""
    for count, shape in ((1, (1, 5, 5)), (4, (3, 9, 7)), (3, (2, 40, 33)), (65, (3, 31, 31))):
        for layout, dtype in ((torch.contiguous_format, torch.float32), (LAST, torch.bfloat16), (LAST, torch.float16)):
            for option in (False, True):
                yield perturbing(count, shape, layout, dtype, clip=option, scaled=option)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        for sizes in ((1, 4, 3, 3), (2, 13, 6, 5), (3, 70, 40, 9), (7, 64, 32, 13), (2, 256, 96, 15)):
            yield from unit_ends(*sizes, dtype)
    for case in ((2, 13, 6, 5), (16, 128, 64, 28)):
        yield from unit_slopes(*case)
    for count, others, shape in ((1, 1, (1, 3, 3)), (5, 3, (3, 21, 33)), (33, 9, (3, 37, 29))):
        yield from (nearest(count, others, shape, layout) for layout in (torch.contiguous_format, LAST))
    for norm in (math.inf, 2.0):
        yield from (universal(*sizes, norm) for sizes in ((1, 1, (1, 3, 3)), (3, 4, (3, 21, 33)), (7, 5, (3, 37, 29))))
    yield from (walking(*sizes, ends=True) for sizes in ((3, 1, 4), (12, 5, 30), (300, 25, 50), (257, 33, 20)))


def compiled(case: Case, mode: str) -> Callable[..., Any]:
    """What ``torch.compile`` makes of the twin for the shapes of this case."""
    torch.compiler.reset()
    make = partial(torch.compile, dynamic=False, mode=mode)
    return make(case.twin) if case.dense is None else case.dense(make(dense_step))
