"""Speed as ratios, each measured side by side in one run: ``python -m benchmarks.speed``, parts of it with ``--only``.

Algorithm 1 against the literal loop and against writing its result; UAP against the Adversarial Robustness Toolbox; sPGD and SGA
against plain loops; units' training steps and inference against the bare network; memory formats; steps against matrix products,
and with freed memory given back; growth; two processes against one; what a stage costs besides its work. Medians of five after a
warm-up; one thread on a CPU. Writes ``benchmarks/results/speed-<cpu or gpu>.csv`` after each part, so that a kill loses one.
"""

import argparse
import platform
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from benchmarks import speed_attacks, speed_growth, speed_limits, speed_memory, speed_processes, speed_stage, speed_units
from benchmarks.timing import Row
from regen_lib.core.errors import StudyError
from regen_lib.core.progress import tqdm
from regen_lib.core.runtime import start
from regen_lib.core.storage import write_bytes
from regen_lib.study.report.machine import processor

RESULTS = Path("benchmarks/results")
PARTS: dict[str, Callable[[torch.device], Iterator[Row]]] = {
    "synthesis": speed_attacks.synthesis,
    "peers": speed_attacks.peers,
    "loops": speed_attacks.loops,
    "steps": speed_units.steps,
    "layouts": speed_units.layouts,
    "limits": speed_limits.limits,
    "memory": lambda _device: speed_memory.freed(),
    "growth": speed_growth.growth,
    "processes": lambda _device: speed_processes.processes(),
    "stage": lambda _device: speed_stage.overhead(),
}


def met(line: pd.Series) -> str:
    """Whether the ratio is what was asked for."""
    asked = str(line.asked)
    if asked[:1] not in "<>" or not asked:
        return ""
    limit = float(asked[1:])
    return "yes" if (line.ratio < limit if asked[0] == "<" else line.ratio > limit) else "no"


def versions(device: torch.device) -> dict[str, str]:
    """What the figures depend on."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{processor()}, one thread"
    return {"machine": name, "torch": str(torch.__version__), "python": platform.python_version()}


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="the parts to measure (default: all)")
    options = parser.parse_args(arguments)
    start(1)
    device = torch.get_default_device()
    about = versions(device)
    slug = re.sub(r"[^a-z0-9]+", "-", about["machine"].removesuffix(", one thread").lower()).strip("-")
    target = RESULTS / f"speed-{slug}.csv"
    table = pd.read_csv(target) if target.is_file() else pd.DataFrame()
    for part in tqdm(options.only, desc="parts"):
        try:
            with threadpool_limits(1):  # NumPy's BLAS has threads of its own, which make small vectors slower and cost CPU time
                found = pd.DataFrame(PARTS[part](device))
        except StudyError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        if not len(found):
            continue
        found = found.assign(met=found.apply(met, axis=1), measured=part, **about)
        print(found[["part", "case", "against", "ratio", "asked", "met"]].to_string(index=False))
        kept = table[table.measured != part] if len(table) else table
        table = pd.concat([kept, found], ignore_index=True)
        write_bytes(target, table.to_csv(index=False, float_format="%.4g", lineterminator="\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
