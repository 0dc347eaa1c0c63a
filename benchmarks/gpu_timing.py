"""What is measured on a GPU: events around turns over several sets of arguments, as called and as a replayed CUDA graph."""

import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from regen_lib.core.storage import write_bytes

Turn = Callable[[], object]
Row = dict[str, Any]
OUT = Path("benchmarks/results")
MOST, LEAST, SPENT = 40, 3, 0.08  # turns, and the seconds after which there are no more


@dataclass(frozen=True)
class Time:
    """Seconds of a call: the smaller of two medians, their ``spread`` as a share of it, and, ``replayed``, without launches."""

    seconds: float
    spread: float
    replayed: float = float("nan")


def once(turn: Turn, device: torch.device) -> float:
    """Seconds of one turn."""
    if device.type != "cuda":
        begun = time.perf_counter()
        turn()
        return time.perf_counter() - begun
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    turn()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3


def median(turn: Turn, device: torch.device) -> float:
    """The median seconds of a turn, after a warm-up."""
    taken = once(turn, device)
    count = int(min(MOST, max(LEAST, SPENT / max(taken, 1e-9))))
    return statistics.median(once(turn, device) for _ in range(count))


def timed(function: Callable[..., Any], sets: Sequence[tuple[Any, ...]], device: torch.device, *, replay: bool = False) -> Time:
    """Seconds of ``function`` over ``sets`` of arguments in turns; what a turn returns is kept until its end: outputs change too."""

    def turn() -> list[Any]:
        return [function(*arguments) for arguments in sets]

    turn()
    first, second = median(turn, device), median(turn, device)
    low = min(first, second)
    replayed = float("nan")
    if replay and device.type == "cuda":
        with suppress(RuntimeError):  # of what a graph cannot hold
            replayed = median(captured(turn), device) / len(sets)
    return Time(low / len(sets), abs(first - second) / low, replayed)


def captured(turn: Turn) -> Turn:
    """A turn as a CUDA graph: what the device does, without what it costs to ask for it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        turn()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        turn()
    return graph.replay


def versions(device: torch.device) -> dict[str, str]:
    """What the figures depend on."""
    card = driver = "none"
    if device.type == "cuda":
        card = torch.cuda.get_device_name()
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
        driver = said[0] if said else "unknown"
    triton = "none"
    with suppress(PackageNotFoundError):
        triton = version("triton")
    return {"card": card, "driver": driver, "torch": str(torch.__version__), "triton": triton, "python": platform.python_version()}


class Sheet:
    """A CSV that is written anew with every row, until the time is over; of one that is there, rows that are ``kept`` (a query) stay."""

    def __init__(self, path: Path, seconds: float, kept: str, **about: str) -> None:
        self.path, self.ends, self.about, self.rows = path, time.monotonic() + seconds, about, list[Row]()
        if path.is_file():
            before = pd.read_csv(path, dtype=str, keep_default_na=False).query(kept)
            self.rows += [{str(key): value for key, value in row.items()} for row in before.to_dict("records")]

    def fill(self, rows: Iterable[Row]) -> None:
        """Row after row, on disk and on the terminal; none begins after the time."""
        for row in rows:
            self.rows.append(row | self.about)
            text = pd.DataFrame(self.rows).to_csv(index=False, float_format="%.4g", lineterminator="\n")
            write_bytes(self.path, text.encode())
            print(" | ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()), flush=True)
            if time.monotonic() > self.ends:
                print(f"the time is over: what {self.path.name} lacks was not measured", flush=True)
                return


def reason(error: Exception) -> str:
    """What a table says of something that did not run."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:100]
