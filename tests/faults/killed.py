"""Kills of stages (:mod:`tests.faults.kills`), one after the other in one study in miniature."""

import fcntl
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

from tests.faults.fault import Fault, LeftoverError, OrphanError, WrongError
from tests.faults.kills import Kill, kills, undisturbed

COUNT = 30


@contextmanager
def study(base: Path) -> Iterator[tuple[Path, dict[str, tuple[float, dict[str, str]]]]]:
    """The study, how long its stages take and what they leave, for one attempt at a time; the first one makes it."""
    with (base / "kills.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder, times = base / "killed", base / "kills.json"
        if not times.is_file():
            times.write_text(json.dumps(undisturbed(folder)))
        yield folder, json.loads(times.read_text())


def attempt(kill: Kill, project: Path) -> None:
    """One kill; what does not hold."""
    with study(project.parents[4]) as (folder, alone):
        fault = kill.attempt(folder, *alone[kill.stage])
    if fault:
        raise (OrphanError if "outlived" in fault else LeftoverError if "left over" in fault else WrongError)(fault)


def faults(rng: Random) -> Iterator[Fault]:
    """Random kills of every stage and process."""
    for kill in kills(COUNT, rng.randrange(2**31)):
        kind = "SIGTERM" if kill.signal == signal.SIGTERM else "kills"
        yield Fault(kind, kill.name, partial(attempt, kill), cost=30.0, bound=1800)
