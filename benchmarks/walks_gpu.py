"""Whether the Triton kernel of Algorithm 1's walks earns its place, on this GPU: ``python -m benchmarks.walks_gpu``, half a minute.

First it is checked against plain torch on fresh random draws: where it is wrong the program ends with status 1. Then it is timed
against plain torch, eager and compiled. Writes the rows of ``walks`` in ``kernels_gpu.csv`` below ``--out``; those of the kernels
that were deleted stay there as the record of why. ``--tiny`` goes the same way without a GPU, through Triton's interpreter
(``TRITON_INTERPRET=1``).
"""

import argparse
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_timing import OUT, Row, Sheet, Time, reason, timed, versions
from regen_lib.regeneration import walks_triton
from regen_lib.regeneration.synthesis import step_by_step

Arguments = tuple[Tensor, ...]
SIZES = ((2000, 25, 50), (10000, 25, 50))  # walks, members, steps: with 25 training UAPs
ODD = ((3, 1, 4), (12, 5, 30), (300, 25, 50), (257, 33, 20))
SETS = 16  # of arguments, taken in turns
CLOSE = 1e-12  # of float64


def drawn(count: int, members: int, most: int, rng: torch.Generator, *, ends: bool = False) -> Arguments:
    """What ``most`` steps of ``count`` walks take; unless they have ``ends`` none gets past the limit, so that all take all steps."""
    new: dict[str, Any] = {"dtype": torch.float64, "device": rng.device}
    bank = torch.randn(members, 64, generator=rng, **new) + torch.linspace(0.5, 1.5, members, **new)[:, None]
    gram = bank @ bank.T
    c, u = torch.zeros(2, count, members, **new).unbind()
    alpha = torch.rand(most, count, generator=rng, **new)
    member = torch.randint(members, (most, count), generator=rng, device=rng.device)
    limit = gram.diagonal().min() if ends else gram.new_tensor(1e12)
    return gram, c, u, torch.zeros_like(member[0]), alpha, member, limit


def wrong(rng: torch.Generator) -> list[str]:
    """The sizes at which the kernel does not walk as plain torch does, with the reason."""
    found = []
    for size in ODD:
        arguments = drawn(*size, rng, ends=True)
        mine, theirs = ([each.clone() for each in arguments] for _ in range(2))
        walks_triton.advance(*mine)
        step_by_step(*theirs)
        try:
            for left, right in zip(mine, theirs, strict=True):
                torch.testing.assert_close(left, right, rtol=CLOSE, atol=CLOSE)
        except AssertionError as error:
            found.append(f"{size}: {error}")
    return found


def dense_step(gram: Tensor, c: Tensor, u: Tensor, steps: Tensor, a: Tensor, m: Tensor, limit: Tensor) -> None:
    """A step of all walks, those that have ended too, which stay where they are: shapes that ``torch.compile`` can have."""
    running = (c * u).sum(1) <= limit
    a = torch.where(running, a, 0.0)[:, None]
    c.mul_(1 - a).scatter_add_(1, m[:, None], a)
    u.mul_(1 - a).add_(a * gram[m])
    steps.add_(running)


def dense(step: Callable[..., Any]) -> Callable[..., None]:
    """All steps, each by ``step``."""

    def advance(gram: Tensor, c: Tensor, u: Tensor, steps: Tensor, alpha: Tensor, member: Tensor, limit: Tensor) -> None:
        for a, m in zip(alpha, member, strict=True):
            step(gram, c, u, steps, a, m, limit)

    return advance


def times(sizes: tuple[tuple[int, int, int], ...], rng: torch.Generator) -> Iterator[Row]:
    """A row for each form at each size; where the compiler fails, the reason."""
    for count, members, most in sizes:
        sets = [drawn(count, members, most, rng) for _ in range(SETS)]
        forms = {"kernel": (walks_triton.advance, True), "eager": (step_by_step, False)}  # whether a CUDA graph can hold it
        if rng.device.type == "cuda":
            torch.compiler.reset()
            forms["compiled"] = dense(torch.compile(dense_step, dynamic=False)), True
        for form, (function, replay) in forms.items():
            note, taken = "", Time(float("nan"), float("nan"))
            try:
                taken = timed(function, sets, rng.device, replay=replay)
            except Exception as error:
                if form != "compiled":
                    raise
                note = reason(error)
            row = {"kernel": "walks", "size": f"{count} walks of {most} steps, {members} members", "dtype": "float64", "form": form}
            yield row | {
                "microseconds": 1e6 * taken.seconds,
                "spread": taken.spread,
                "replayed_microseconds": 1e6 * taken.replayed,
                "note": note,
            }


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status: 1 where the kernel is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.walks_gpu", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=OUT, help=f"the folder to write to (default: {OUT})")
    parser.add_argument("--seconds", type=float, default=120, help="after which no further measurement begins (default: 120)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31), help="of the random draws (default: another each time)")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to try the program out without a GPU")
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not (options.tiny or device.type == "cuda"):
        print("error: needs a GPU; --tiny with TRITON_INTERPRET=1 in the environment goes without", file=sys.stderr)
        return 2
    rng = torch.Generator(device).manual_seed(options.seed)
    faults = wrong(rng)
    print(f"seed {options.seed}: {len(ODD)} sizes checked on {device.type}, {len(faults)} wrong", *faults, sep="\n", flush=True)
    sheet = Sheet(options.out / "kernels_gpu.csv", options.seconds, "kernel != 'walks'", **versions(device))
    sheet.fill(times(((5, 4, 6),) if options.tiny else SIZES, rng))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
