"""Whether the kernels earn their place, on this GPU: ``python -m benchmarks.kernels_gpu``, some two minutes.

First every kernel is checked against torch in float64 on fresh random arguments: one that is wrong ends the program with status 1.
Then each is timed against its twin, eager and compiled, and a copy on the device. Writes ``kernels_gpu.csv`` below ``--out`` after
each row, so that a kill loses one. Needs torch, Triton and what the library itself needs. Without a GPU, ``--tiny`` goes the same way
through Triton's interpreter (``TRITON_INTERPRET=1``).
"""

import argparse
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import kernels_cases as cases
from benchmarks.gpu_timing import OUT, Row, Sheet, Time, copied, reason, sets_of, timed, versions
from benchmarks.kernels_cases import LIMITS, Case
from regen_lib import kernels

COPY = 2**30
TUNED = "max-autotune-no-cudagraphs"


def fresh(argument: Any, double: bool = False) -> Any:
    """A copy that may be written into, in float64 on demand."""
    if isinstance(argument, tuple):
        return tuple(fresh(each, double) for each in argument)
    if isinstance(argument, torch.dtype):
        return torch.float64 if double else argument
    if not isinstance(argument, Tensor):
        return argument
    return argument.double() if double and argument.is_floating_point() and argument.dtype != torch.float64 else argument.clone()


def outcome(function: Callable[..., Any], arguments: tuple[Any, ...]) -> list[Tensor]:
    """What ``function`` returns, or, where it returns nothing, its arguments as it left them."""
    result = function(*arguments)
    return [result] if isinstance(result, Tensor) else [each for each in arguments if isinstance(each, Tensor)]


def apart(case: Case, rng: torch.Generator) -> float:
    """``||out - reference|| / ||reference||``, the largest over what the kernel gives (:func:`check` poisons outputs)."""
    arguments = case.draw(rng)
    expected = outcome(case.twin, fresh(arguments, double=True))
    found = outcome(case.fused, fresh(arguments))
    assert [out.shape for out in found] == [out.shape for out in expected]
    ratios = [
        (out.double() - right.double()).norm() / right.double().norm().clamp_min(1e-30) for out, right in zip(found, expected, strict=True)
    ]
    return float(torch.stack(ratios).max())  # NaN, if there is one


@contextmanager
def poisoned() -> Iterator[None]:
    """Within, new tensors that nobody has written to are full of NaN."""
    settings = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fill = settings.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True, warn_only=True)
    settings.fill_uninitialized_memory = True  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        settings.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


def check(device: torch.device, chosen: Sequence[Case], rng: torch.Generator) -> list[str]:
    """The cases whose kernel is wrong, in words."""
    wrong = []
    with poisoned(), torch.no_grad():
        for case in chosen:
            found = apart(case, rng)
            if not found <= LIMITS[case.dtype]:
                wrong.append(f"{case.kernel}, {case.size}, {case.dtype}: off by {found:.2g}, at most {LIMITS[case.dtype]:g} allowed")
    print(f"{len(chosen)} cases checked on {device.type}, {len(wrong)} wrong", *wrong, sep="\n", flush=True)
    return wrong


def forms(case: Case, device: torch.device, tuned: bool) -> Iterator[tuple[str, Callable[..., Any], bool]]:
    """What is timed of a case: a name, the function, and whether a CUDA graph can hold it."""
    if tuned:
        yield "tuned", cases.compiled(case, TUNED), True
        return
    yield "kernel", case.fused, True
    yield "eager", case.twin, case.replays
    if device.type == "cuda":
        yield "compiled", cases.compiled(case, "default"), True


def times(case: Case, device: torch.device, rng: torch.Generator, ceiling: float, *, tuned: bool = False) -> Iterator[Row]:
    """A row for each form of a case; what does not compile is named with the reason."""
    sets = [case.draw(rng) for _ in range(sets_of(case.moved))]
    for form, function, replay in forms(case, device, tuned):
        note, taken = "", Time(float("nan"), float("nan"))
        try:
            with torch.no_grad():
                taken = timed(function, sets, device, replay=replay)
        except Exception as error:  # the compiler's; kernel and twin have been checked
            if form in ("kernel", "eager"):
                raise
            note = reason(error)
        best = min(taken.seconds, taken.replayed if taken.replayed > 0 else taken.seconds)
        speed = case.moved / best
        yield {
            "kernel": case.kernel,
            "size": case.size,
            "dtype": str(case.dtype).removeprefix("torch."),
            "form": form,
            "microseconds": 1e6 * taken.seconds,
            "spread": taken.spread,
            "replayed_microseconds": 1e6 * taken.replayed,
            "gb_per_second": speed / 1e9,
            "share_of_copy": speed / ceiling,
            "note": note,
        }


def measure(options: argparse.Namespace, device: torch.device) -> list[str]:
    """Check, then time, in the order in which it matters; returns the cases that are wrong."""
    about = versions(device)
    rng = torch.Generator(device).manual_seed(options.seed)
    sheet = Sheet(options.out / "kernels_gpu.csv", options.seconds, **about)
    print(about, f"seed {options.seed}", flush=True)
    torch.backends.cudnn.allow_tf32 = False  # as the study
    chosen = list(tiny() if options.tiny else cases.timed())
    wrong = check(device, chosen if options.tiny else [*chosen, *cases.odd()], rng)
    ceiling = copied(device, COPY // 256 if options.tiny else COPY)
    sheet.about["copy_gb_per_second"] = f"{ceiling / 1e9:.0f}"
    print(f"a copy on the device moves {ceiling / 1e9:.0f} GB/s", flush=True)
    plain = [times(case, device, rng, ceiling) for case in chosen]
    tuned = [times(case, device, rng, ceiling, tuned=True) for case in chosen if device.type == "cuda"]
    sheet.fill(chain.from_iterable([*plain, *tuned]))
    return wrong


def tiny() -> Iterator[Case]:
    """One small case of each kernel; 16-bit matrix products are beyond Triton's interpreter."""
    yield cases.perturbing(4, (3, 9, 7))
    yield from cases.unit_ends(2, 13, 6, 5)
    yield from (cases.nearest(3, 2, (3, 9, 7)), cases.universal(2, 3, (3, 9, 7), 2.0), cases.walking(5, 4, 6, ends=True))


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status: 1 where a kernel is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels_gpu", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=OUT, help=f"the folder to write to (default: {OUT})")
    parser.add_argument("--seconds", type=float, default=120, help="after which no further measurement begins (default: 120)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31), help="of the random arguments (default: another each time)")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to try the program out without a GPU")
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if kernels.triton is None or not (options.tiny or device.type == "cuda"):
        print("error: needs a GPU and Triton; --tiny with TRITON_INTERPRET=1 in the environment goes without a GPU", file=sys.stderr)
        return 2
    return 1 if measure(options, device) else 0


if __name__ == "__main__":
    sys.exit(main())
