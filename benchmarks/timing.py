"""Times that can be compared: in turns in one process, medians after a warm-up; CPU time on a CPU, synchronised wall time on a GPU."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch

REPEATS = 5


def once(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that ``work`` takes."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    begun = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - begun


def medians(works: Mapping[str, Callable[[], object]], device: torch.device, repeats: int = REPEATS) -> dict[str, float]:
    """The median seconds of each, in turns, so that whatever else the machine does meets all of them."""
    for work in works.values():
        once(work, device)
    taken = [{name: once(work, device) for name, work in works.items()} for _ in range(repeats)]
    return {name: statistics.median(turn[name] for turn in taken) for name in works}


Row = dict[str, str | float]


def row(part: str, case: str, ours: float, other: float, against: str, asked: str) -> Row:
    """One ratio: where more is asked (``>``) how many times longer the other takes, where less is (``<``) how many times ours does."""
    ratio = ours / other if asked.startswith("<") else other / ours
    return {"part": part, "case": case, "against": against, "ours_seconds": ours, "other_seconds": other, "ratio": ratio, "asked": asked}
