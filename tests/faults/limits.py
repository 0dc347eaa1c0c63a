"""Less than usual: of memory, of open files, of rights, of processors. The same bytes, or a refusal."""

import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from random import Random

import psutil

from tests.faults import work
from tests.faults.boxes import forked, limited, own_mounts, read_only, small_disk
from tests.faults.fault import Fault, expect

MEGABYTE = 2**20


@cache
def undisturbed() -> str:
    """The hash of the work where nothing is in its way."""
    with tempfile.TemporaryDirectory() as folder:
        return work.everything(Path(folder))


def memory(megabytes: int) -> None:
    """So much more address space than there is now."""
    limited(resource.RLIMIT_AS, psutil.Process().memory_info().vms + megabytes * MEGABYTE)


def files(count: int) -> None:
    """So many more open files than there are now."""
    limited(resource.RLIMIT_NOFILE, len(os.listdir("/proc/self/fd")) + count)


def one_processor() -> None:
    """One of those that there are."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def mounted(*folders: str, there: bool = True) -> None:
    """Read-only folders, where such can be made."""
    if not own_mounts():
        return
    for folder in map(Path, folders):
        folder.mkdir(parents=True, exist_ok=there)
        read_only(folder)


def no_shared_memory() -> None:
    """A /dev/shm that is full."""
    if own_mounts():
        small_disk(Path("/dev/shm"), 4096, over=True)


def a_file(path: Path) -> None:
    """A file where a folder should be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a file")


def linked(path: Path) -> None:
    """A folder that lies elsewhere in the project."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Path("elsewhere").mkdir()
    path.symlink_to(Path("elsewhere").absolute())


def link_to_nowhere() -> None:
    """The bank is a link to what is no more."""
    linked(Path("data/banks/uaps/net/spgd.safetensors"))
    shutil.rmtree("elsewhere")


# what is done to a process before it works
LIMITS: dict[str, Callable[[], object]] = {
    "nothing": lambda: None,
    "one processor": one_processor,
    "64 open files": partial(files, 64),
    "16 open files": partial(files, 16),
    "2 open files": partial(files, 2),
    "512 MB more memory": partial(memory, 512),
    "64 MB more memory": partial(memory, 64),
    "8 MB more memory": partial(memory, 8),
    "files of 1 MB": partial(limited, resource.RLIMIT_FSIZE, MEGABYTE),
    "files of 4 kB": partial(limited, resource.RLIMIT_FSIZE, 4096),
    "no core dumps, small stack": partial(limited, resource.RLIMIT_STACK, MEGABYTE),
    "a full /dev/shm": no_shared_memory,
    "umask 077": partial(os.umask, 0o077),
    "umask 777": partial(os.umask, 0o777),
    "data is read-only": partial(mounted, "data"),
    "banks are read-only": partial(mounted, "data/banks"),
    "epochs are read-only": partial(mounted, "data/training"),
    "data is a link": partial(linked, Path("data")),
    "banks are a link": partial(linked, Path("data/banks")),
    "banks are a file": partial(a_file, Path("data/banks")),
    "the bank is a folder": partial(mounted, "data/banks/uaps/net/spgd.safetensors/x"),
    "the bank is a link to nowhere": link_to_nowhere,
    "niceness 19": partial(os.nice, 19),
}


def attempt(limit: Callable[[], object], project: Path) -> None:
    """The work in a process that has less."""
    right = undisturbed()
    expect(forked(partial(limited_work, limit)) == right, "another result")


def limited_work(limit: Callable[[], object]) -> str:
    """In the new process; photographs come first, as a user's own."""
    work.photographs(Path("raw"))
    limit()
    Path("data").mkdir(exist_ok=True)
    return work.everything_of(Path("raw"), Path())


def faults(rng: Random) -> Iterator[Fault]:
    """The same work under each limit."""
    for name, limit in LIMITS.items():
        yield Fault("limits", name, partial(attempt, limit), cost=1.0, bound=90)
