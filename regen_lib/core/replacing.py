"""Files that are there whole or not at all: written under a temporary name, then renamed. For processes without torch, too."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom
from pathlib import Path
from tempfile import TemporaryFile

from regen_lib.core.errors import StudyError

PARTIAL = re.compile(r".+\.\d+\.regen\.partial")  # nobody else's


@contextmanager
def replacing(path: Path) -> Iterator[BufferedRandom]:
    """A file to write, and to read again, that takes the place of ``path`` when the block ends; where the block fails, it is removed.

    First it removes what killed processes left in that folder: a full disk needs no more room the second time. :class:`StudyError` where
    the file cannot be written.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.regen.partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(path.parent)
        with locked(partial) as file:
            try:
                yield file
                file.flush()
                partial.replace(path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise


@contextmanager
def writing(path: Path, remedy: str = "make room there, or give the right to write") -> Iterator[None]:
    """For a block that writes ``path``: a full disk, a missing right and the like become a :class:`StudyError` that names it."""
    try:
        yield
    except OSError as error:
        raise StudyError(f"{path} cannot be written: {error.strerror or error}: {remedy}") from error


def check_writable(path: Path) -> None:
    """:class:`StudyError` where ``path`` cannot be written: to be known before the work whose results go there."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(f"{path.name} is a folder")
        with TemporaryFile(dir=path.parent):
            pass


def replace_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``: a kill leaves the old file or the new one."""
    with replacing(path) as file:
        file.write(data)


def locked(partial: Path) -> BufferedRandom:
    """``partial``, empty and locked until it is closed: the system unlocks it for a killed process, which proves that its owner is gone."""
    while True:
        file = open(partial, "r+b", opener=lambda name, flags: os.open(name, flags | os.O_CREAT, 0o666))  # noqa: SIM115  # handed on
        with suppress(OSError):  # a filesystem without locks: what is left there is never removed
            fcntl.flock(file, fcntl.LOCK_EX)
        if is_at(file, partial):
            file.truncate(0)
            return file
        file.close()


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files in ``folder`` that no living process holds."""
    for left in folder.glob("*.partial"):
        if PARTIAL.fullmatch(left.name) and left.is_file():
            with suppress(OSError), left.open("r+b") as file:  # locked, or gone meanwhile
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if is_at(file, left):
                    left.unlink()


def is_at(file: BufferedRandom, path: Path) -> bool:
    """Whether ``path`` still is the opened ``file``: another process may have renamed or removed it before the lock was had."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False
