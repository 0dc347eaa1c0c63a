"""Small worlds to make an attempt in: a process of its own, with a disk, memory, files or rights that are few."""

import ctypes
import multiprocessing
import os
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from tests.faults.fault import Hang

NEW_MOUNTS, NEW_USER = 0x20000, 0x10000000  # clone(2)
READ_ONLY, REMOUNT, BIND, PRIVATE = 1, 32, 4096, 1 << 18 | 1 << 14  # mount(2)
LIBC = ctypes.CDLL(None, use_errno=True)


def forked(work: Callable[[], object], seconds: float = 60) -> object:
    """What ``work`` returns in a process of its own, or the exception that it raises there."""
    return started(work, seconds)()


def started(work: Callable[[], object], seconds: float = 60) -> Callable[[], object]:
    """Begin ``work`` in a process of its own; call what is returned to wait for its result."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=answer, args=(work, there))
    process.start()
    there.close()

    def result() -> object:
        if not here.poll(seconds):
            process.kill()
            process.join()
            raise Hang(f"more than {seconds:g} s in a process of its own")
        try:
            value = here.recv()
        except EOFError:
            process.join()
            raise RuntimeError(f"the process ended with status {process.exitcode}") from None
        process.join()
        if isinstance(value, BaseException):
            raise value
        return value

    return result


def answer(work: Callable[[], object], pipe: Connection) -> None:
    """In the new process: send the result, or the exception as far as it can be sent."""
    try:
        pipe.send(work())
    except BaseException as error:
        try:
            pipe.send(error)
        except Exception:
            pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))


def own_mounts() -> bool:
    """Whether this process, a new one, may now mount file systems that no other sees."""
    flags = NEW_MOUNTS if os.geteuid() == 0 else NEW_MOUNTS | NEW_USER
    return LIBC.unshare(flags) == 0 and LIBC.mount(b"none", b"/", None, PRIVATE, None) == 0


def small_disk(folder: Path, size: int, *, over: bool = False) -> bool:
    """Let ``folder`` be a disk of ``size`` bytes, or make one that is there as large; False where this is not allowed.

    ``over``: a disk of the machine's is there, which stays as it is under the new one: another size would be another size for everybody.
    """
    flags = REMOUNT if os.path.ismount(folder) and not over else 0
    folder.mkdir(parents=True, exist_ok=True)
    return LIBC.mount(b"none", os.fsencode(folder), b"tmpfs", flags, f"size={size}".encode()) == 0


def small_files(size: int) -> None:
    """No file may become larger than ``size`` bytes: what is left to try where nothing can be mounted."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def read_only(folder: Path) -> bool:
    """Let nothing be written in ``folder``, not even by root."""
    name = os.fsencode(folder)
    return LIBC.mount(name, name, None, BIND, None) == 0 and LIBC.mount(name, name, None, BIND | REMOUNT | READ_ONLY, None) == 0


def limited(what: int, value: int) -> None:
    """A limit of this process, which is a new one."""
    resource.setrlimit(what, (value, resource.getrlimit(what)[1]))
