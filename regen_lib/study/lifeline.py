"""A stage ends with the process that started it, and nobody else runs it meanwhile.

A killed DVC would leave its stage running, to overwrite later what a second run wrote. Linux kills a process at the end of its parent where
that was asked for (``prctl``); for other systems, and where DVC's shell stands between, a thread watches.
"""

import ctypes
import fcntl
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from regen_lib.core.errors import StudyError

LOCKS = Path("build/locks")
PATIENCE = 5.0  # seconds that an owner which has been killed may take to end
PR_SET_PDEATHSIG = 1
DVC_STAGE = "DVC_STAGE"  # DVC sets it for the stages that it runs
held: list[int] = []  # descriptors of the locks held, for the kernel to hold as well


def end_with_parent(parent: int) -> None:
    """Have this process killed when its parent, process ``parent``, ends; at once where that has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def end_with_dvc() -> None:
    """Have this process killed when the DVC that runs it as a stage ends; nothing happens outside of DVC."""
    if DVC_STAGE not in os.environ:
        return
    end_with_parent(os.getppid())
    if "RANK" in os.environ:  # of several processes: torchrun is the parent, and ends with the stage that started it
        return
    try:
        dvc = next(process for process in psutil.Process().parents() if not in_stage(process))
        orphan = os.getpgid(dvc.pid) != os.getpgrp()  # whoever adopts orphans has a group of its own
    except (StopIteration, ProcessLookupError):
        orphan = True
    if orphan:
        os.kill(os.getpid(), signal.SIGKILL)
    threading.Thread(target=watch, args=(dvc,), daemon=True).start()


def tied() -> dict[str, Any]:
    """How :mod:`subprocess` starts a program that ends with this process and whose ``python`` is this interpreter."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {"env": {**os.environ, "PATH": path}, "preexec_fn": functools.partial(end_with_parent, os.getpid())}


def in_stage(process: psutil.Process) -> bool:
    """Whether DVC started ``process``, or one above it, as a stage."""
    try:
        return DVC_STAGE in process.environ()
    except psutil.Error:  # ended, or another user's
        return False


def watch(process: psutil.Process) -> None:
    """Kill this process when ``process`` has ended."""
    with suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def owned(stage: str) -> Iterator[None]:
    """Be the only run of ``stage`` in this folder, its kernel included; :class:`StudyError` where another one goes on.

    The system drops the lock with the last process that holds it, however that ended.
    """
    LOCKS.mkdir(parents=True, exist_ok=True)
    with (LOCKS / f"{stage}.lock").open("a+", encoding="utf-8") as lock:
        claim(lock.fileno(), stage)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        held.append(lock.fileno())
        try:
            yield
        finally:
            held.remove(lock.fileno())


def claim(descriptor: int, stage: str) -> None:
    """Lock an open file; :class:`StudyError` where its owner is still there after a while."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > until:
                owner = os.pread(descriptor, 20, 0).decode() or "unknown"
                raise StudyError(f"stage {stage} is being run by process {owner} already: wait for its end, or end it") from error
        time.sleep(0.1)
