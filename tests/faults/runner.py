"""Attempts in processes of their own: one that hangs, crashes or eats the memory takes no other with it."""

import ctypes
import multiprocessing
import os
import resource
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path

import psutil

from tests.faults.fault import Fault, Verdict, judge

PATIENCE = 15.0  # seconds past its bound, then a process is killed: the alarm does not reach a loop in C
MEMORY = 6 * 2**30  # bytes of address space that an attempt may add
SUBREAPER = 36  # prctl: orphans of this process's children become its own children


class Worker:
    """A process that makes attempts at ``faults``, those whose numbers it is sent."""

    def __init__(self, faults: Sequence[Fault], base: Path) -> None:
        self.faults, self.base = faults, base
        self.begin()

    def begin(self) -> None:
        """Start the process, forked from one that has everything imported."""
        self.pipe, other = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("fork").Process(target=serve, args=(self.faults, self.base, other, self.pipe))
        self.process.start()
        other.close()
        self.number, self.deadline = -1, float("inf")

    def give(self, number: int) -> None:
        """Have it make one attempt."""
        self.number, self.deadline = number, time.monotonic() + self.faults[number].bound + PATIENCE
        self.pipe.send(number)

    def result(self) -> Verdict | None:
        """The verdict, if there is one; that of a process that died or had to be killed, which is started anew."""
        if self.pipe.poll():
            try:
                verdict: Verdict = self.pipe.recv()
                self.deadline = float("inf")
                return verdict
            except EOFError:
                self.process.join()
                status = self.process.exitcode or 0
                return self.anew(Verdict("died", f"status {status}" if status >= 0 else signal.Signals(-status).name))
        if time.monotonic() > self.deadline:
            return self.anew(Verdict("hang", "had to be killed"))
        return None

    def anew(self, verdict: Verdict) -> Verdict:
        """End the process and all that it started; begin another."""
        self.end()
        self.begin()
        return verdict

    def end(self) -> None:
        """End the process and all that it started."""
        self.pipe.close()
        if self.process.is_alive():
            for child in psutil.Process(self.process.pid).children(recursive=True):
                child.kill()
            self.process.kill()
        self.process.join()


def serve(faults: Sequence[Fault], base: Path, pipe: Connection, others: Connection) -> None:
    """A worker's loop. What an attempt prints goes to a file that the next one writes over."""
    others.close()
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    used = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    log = os.open(base / f"said-{os.getpid()}.txt", os.O_CREAT | os.O_RDWR | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    while True:
        try:
            number = pipe.recv()
        except EOFError:
            return
        os.ftruncate(log, 0)
        folder = Path(tempfile.mkdtemp(prefix="fault-", dir=base))
        verdict = judge(faults[number], folder)
        sweep(folder)
        pipe.send(verdict)


def sweep(folder: Path) -> None:
    """Remove a folder, also where an attempt took its permissions away."""
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)


def run(faults: Sequence[Fault], jobs: int) -> Iterator[tuple[Fault, Verdict]]:
    """Each fault with its verdict, as they come in; ``jobs`` at a time."""
    base = Path(tempfile.mkdtemp(prefix="faults-"))
    waiting = list(reversed(range(len(faults))))
    workers = [Worker(faults, base) for _ in range(max(1, min(jobs, len(faults))))]
    try:
        for worker in workers:
            worker.give(waiting.pop())
        busy = list(workers)
        while busy:
            wait([worker.pipe for worker in busy], timeout=1.0)
            for worker in list(busy):
                number = worker.number
                if (verdict := worker.result()) is None:
                    continue
                yield faults[number], verdict
                if waiting:
                    worker.give(waiting.pop())
                else:
                    busy.remove(worker)
    finally:
        for worker in workers:
            worker.end()
        sweep(base)
