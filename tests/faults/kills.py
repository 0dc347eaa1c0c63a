"""Kill DVC, a stage or its kernel at a random moment, and run the stage again: the same bytes, no process and no partial file left.

``python -m tests.faults.kills --count 30`` brings the smoke study to five kinds of stage, undisturbed, then kills; about half a minute
a kill. Exit status 1 where something did not hold.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import yaml

from regen_lib.study.folder import prepare
from tests.repository import REPOSITORY

STAGES = ("images", "networks@vgg16", "uaps@vgg16", "synthesis", "units@vgg16")
VICTIMS = ("dvc", "stage", "kernel")
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
DVC = [sys.executable, "-m", "dvc", "repro", "--single-item", "--no-run-cache"]
PATIENCE = 5.0  # seconds that anything may outlive DVC


@dataclass(frozen=True)
class Kill:
    """One kill: which process of which stage, by which signal, after which share of the time that the stage takes."""

    stage: str
    victim: str
    signal: signal.Signals
    moment: float

    @property
    def name(self) -> str:
        """What is shown of it."""
        return f"{self.signal.name} to the {self.victim} of {self.stage} at {self.moment:.2f}"

    def attempt(self, folder: Path, seconds: float, expected: dict[str, str]) -> str:
        """Kill, run again, compare; what did not hold, or nothing. ``seconds`` and ``expected`` are the undisturbed stage's."""
        faults = []
        top = subprocess.Popen([*DVC, "--force", self.stage], cwd=folder, env=environment(), **QUIET)
        victim, everyone = self.wait(top, seconds)
        if victim is None:
            top.wait()
            return replace(self, moment=self.moment / 2).attempt(folder, seconds, expected)  # it ended first: earlier, then
        victim.send_signal(self.signal)
        top.wait()
        _, alive = psutil.wait_procs(everyone, timeout=PATIENCE)
        if alive:
            faults.append(f"{[process.pid for process in alive]} outlived DVC by {PATIENCE:g} s")
        again = subprocess.run([*DVC, self.stage], cwd=folder, env=environment(), capture_output=True, text=True, check=False)
        if again.returncode:
            faults.append(f"the next run failed: {again.stderr.strip()[-300:]}")
        elif outputs(folder, self.stage) != expected:
            faults.append("other bytes")
        faults += [f"{path.relative_to(folder)} left over" for path in folder.rglob("*.partial")]
        return "; ".join(faults)

    def wait(self, top: "subprocess.Popen[bytes]", seconds: float) -> tuple[psutil.Process | None, list[psutil.Process]]:
        """Until the moment has come and the victim is there: the victim, and all processes of the stage; no victim where it ended."""
        dvc, begun = psutil.Process(top.pid), time.monotonic()
        while top.poll() is None:
            everyone = [dvc, *dvc.children(recursive=True)]
            found = {role(process): process for process in everyone}
            if self.victim in found and time.monotonic() - begun >= self.moment * seconds:
                return found[self.victim], everyone
            time.sleep(0.02)
        return None, []


QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def role(process: psutil.Process) -> str:
    """``dvc``, ``stage``, ``kernel``, or nothing: a shell, or a process that has ended."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return ""
    module = words[words.index("-m") + 1] if "-m" in words[:-1] else ""
    return {"dvc": "dvc", "regen_lib.study": "stage", "regen_lib.study.kernel": "kernel"}.get(module, "")


def environment() -> dict[str, str]:
    """This repository's code and interpreter, for a folder elsewhere."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "PATH": path}


def outputs(folder: Path, stage: str) -> dict[str, str]:
    """SHA-256 of every file that a stage leaves."""
    outs = yaml.safe_load((folder / "dvc.lock").read_text(encoding="utf-8"))["stages"][stage]["outs"]
    roots = [folder / out["path"] for out in outs]
    files = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


def kills(count: int, seed: int = 0) -> Iterator[Kill]:
    """``count`` kills, over all stages and victims in turn, at random moments."""
    rng = random.Random(seed)
    for number in range(count):
        stage, victim = STAGES[number % len(STAGES)], VICTIMS[number % len(VICTIMS)]
        yield Kill(stage, victim, rng.choice(SIGNALS), rng.uniform(0.0, 0.9))


def undisturbed(folder: Path) -> dict[str, tuple[float, dict[str, str]]]:
    """Make the smoke study up to the stages; the seconds that each takes when it runs again, and its outputs."""
    prepare(folder, REPOSITORY / "params.yaml", REPOSITORY / "profiles/smoke.yaml")
    command = [sys.executable, "-m", "regen_lib.study", "repro", *STAGES]
    subprocess.run(command, cwd=folder, env=environment(), check=True)
    found = {}
    for stage in STAGES:
        begun = time.monotonic()
        subprocess.run([*DVC, "--force", stage], cwd=folder, env=environment(), check=True, **QUIET)
        found[stage] = time.monotonic() - begun, outputs(folder, stage)
    return found


def main() -> int:
    """Kill ``--count`` times; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        alone = undisturbed(folder)
        for kill in kills(options.count, options.seed):
            fault = kill.attempt(folder, *alone[kill.stage])
            failed += bool(fault)
            print(f"{'FAILED' if fault else 'held'} · {kill.name}{f': {fault}' if fault else ''}", flush=True)
    print(f"{options.count - failed} of {options.count} kills held")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
