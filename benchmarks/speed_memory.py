"""What it saves to keep freed memory: the laptop's steps in processes that keep it, and in others that give it back."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import torch

from benchmarks.speed_limits import steps
from benchmarks.timing import REPEATS, Row, medians, row
from regen_lib.core import runtime
from regen_lib.core.runtime import start
from regen_lib.study.params import load_params

KEPT, GIVEN = "kept", "given"


def child(how: str) -> None:
    """Print the seconds of each step, as this process manages its memory."""
    if how == GIVEN:
        runtime.keep_freed = lambda: None
    start(1)
    params = load_params(Path("params.yaml"))
    found: dict[str, float] = {}
    for name in params["study"]["networks"]:
        taken = medians(steps(name, params["rivals"]["prn"]["options"]), torch.get_default_device())
        found |= {f"{case}, {name}": seconds for case, seconds in taken.items()}
    print(json.dumps(found))


def freed() -> Iterator[Row]:
    """Medians over processes, the two kinds in turns."""
    turns: dict[str, list[dict[str, float]]] = {KEPT: [], GIVEN: []}
    for _ in range(REPEATS):
        for how, found in turns.items():
            done = subprocess.run([sys.executable, "-m", "benchmarks.speed_memory", how], capture_output=True, text=True, check=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    for case in turns[KEPT][0]:
        kept, given = (median(turn[case] for turn in turns[how]) for how in (KEPT, GIVEN))
        yield row("freed memory kept", f"{case}, 1x28x28, batch 64", kept, given, "given back to the system", "")


if __name__ == "__main__":
    child(sys.argv[1])
