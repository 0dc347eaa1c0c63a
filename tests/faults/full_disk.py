"""A disk without room for what is being written: the old file stays whole, nothing else stays, and with room again all goes well."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
from torch import Tensor

from regen_lib.core.errors import StudyError
from regen_lib.core.storage import read_tensors, write_bytes, write_table, write_tensors
from regen_lib.study.folder import prepare
from regen_lib.study.stage import replace
from tests.faults import work
from tests.faults.artifacts import DATA, KINDS, Kind, digest, trained, wholes
from tests.faults.boxes import forked, own_mounts, small_disk, small_files
from tests.faults.fault import Fault, LeftoverError, expect
from tests.repository import REPOSITORY

PARTS = (0.0, 0.3, 0.6, 0.95)  # of what is to be written, that there is room for
ROOM = 64 * 2**20  # bytes: enough for anything here
BLOCK = 4096

Write = Callable[[Path], object]


def rewritten(kind: Kind, path: Path) -> None:
    """Write an artifact of that kind."""
    tensors, metadata = content(kind)
    write_tensors(path, kind.kind, tensors, **metadata)


@cache
def content(kind: Kind) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What an artifact of that kind holds; asked for first where there is room."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.safetensors"
        whole.write_bytes(wholes()[kind.file])
        tensors, metadata = read_tensors(whole, kind.kind)
        return {name: tensor.clone() for name, tensor in tensors.items()}, metadata


WRITES: dict[str, Write] = {
    **{kind.name: partial(rewritten, kind) for kind in KINDS},
    "bytes": lambda path: write_bytes(path, b"x" * 300_000),
    "table": lambda path: write_table(path, pd.DataFrame({"a": range(30_000), "b": 0.5})),
    "text": lambda path: replace(path, "x" * 300_000),
}


@cache
def written(name: str) -> bytes:
    """What is written where there is room."""
    with tempfile.TemporaryDirectory() as folder:
        WRITES[name](Path(folder) / "file")
        return (Path(folder) / "file").read_bytes()


def on_small_disk(name: str, part: float, *, old: bool) -> None:
    """Write with too little room, then with enough; in a process of its own."""
    path, size = Path("data/disk/file"), len(written(name))
    before = b"what was there" * 100 if old else None
    room = int(part * size) + (BLOCK if old else 0) + BLOCK
    mounted = size > 8 * BLOCK and own_mounts() and small_disk(path.parent, room)  # a disk has room for whole blocks
    path.parent.mkdir(parents=True, exist_ok=True)
    if before:
        path.write_bytes(before)
    if not mounted:
        small_files(int(part * size))
    refusal = failed(lambda: WRITES[name](path))
    expect((path.read_bytes() if path.exists() else None) == before, "the old file is no longer what it was")
    if left := [other for other in os.listdir(path.parent) if other != path.name]:
        raise LeftoverError(f"after a full disk: {left[0]}")
    small_disk(path.parent, ROOM) if mounted else small_files(ROOM)
    WRITES[name](path)
    expect(path.read_bytes() == written(name), "with room again, other bytes")
    raise refusal


def failed(write: Callable[[], object]) -> StudyError:
    """The refusal of what has no room."""
    try:
        write()
    except StudyError as error:
        return error
    expect(False, "a full disk went unnoticed")
    raise AssertionError


def attempt(name: str, part: float, old: bool, project: Path) -> None:
    """One write on a disk that is too small."""
    written(name)
    forked(partial(on_small_disk, name, part, old=old))


def whole_work(use: Callable[[], object], size: int, project: Path) -> None:
    """Work that writes several files where ``size`` bytes are free: refused, then right once there is room."""
    right = digest(use())
    shutil.rmtree(DATA)
    forked(partial(work_on_small_disk, use, size, right))


def work_on_small_disk(use: Callable[[], object], size: int, right: str) -> None:
    """In a process of its own: on a disk of that size, then on one with room."""
    mounted = own_mounts() and small_disk(DATA, size)
    if not mounted:
        small_files(size // 4)
    refusal = failed(use)
    if left := [path.name for path in DATA.rglob("*.partial*")]:
        raise LeftoverError(f"after a full disk: {left[0]}")
    small_disk(DATA, ROOM) if mounted else small_files(ROOM)
    expect(digest(use()) == right, "with room again, another result")
    raise refusal


def decode_all() -> object:
    """Photographs, decoded; they lie on another disk."""
    if not Path("raw").is_dir():
        work.photographs(Path("raw"))
    DATA.mkdir(exist_ok=True)
    return work.decoded(Path("raw"), Path())


def train() -> object:
    """A training that keeps its epochs."""
    (DATA / "training").mkdir(parents=True, exist_ok=True)
    return trained()


def make_folder() -> object:
    """A folder for a study."""
    prepare(DATA / "smoke", REPOSITORY / "params.yaml", REPOSITORY / "profiles/smoke.yaml", raw=False)
    return (DATA / "smoke/params.yaml").read_bytes()


def faults(rng: Random) -> Iterator[Fault]:
    """Every writer with too little room, and whole pieces of work."""
    for name in WRITES:
        for part in PARTS:
            for old in (True, False):
                label = f"{name}: room for {part:.0%}{', over an old file' if old else ''}"
                yield Fault("full disk", label, partial(attempt, name, part, old), names="data/disk/file", cost=0.2, bound=60)
    for label, use, sizes in (
        ("decoding", decode_all, (200_000, 1_000_000)),
        ("training", train, (8192, 40_000, 100_000)),
        ("a study's folder", make_folder, (8192,)),
    ):
        for size in sizes:
            yield Fault("full disk", f"{label}: {size} bytes", partial(whole_work, use, size), names="data", cost=1.0, bound=90)
