"""The tables in a study's metrics, damaged, and read by the report and by what gathers seeds."""

import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import yaml

from regen_lib.study.report import readme, seeds
from regen_lib.study.report.results import FILES
from tests.faults.command import called
from tests.faults.damages import OVERWRITTEN, Spoil, flips, rewritten, truncations
from tests.faults.fault import Fault, expect
from tests.repository import REPOSITORY

STUDY, OTHER = REPOSITORY / "studies/imagenette", REPOSITORY / "studies/cifar10"  # one has photographs, the other seeds
AGAIN = Path("again")  # the same study with another seed
LOCKED = (*FILES, "real_images")
FREE = ("minutes", "seeds", "inference")  # no stage's output: a whole row that is missing, or another number, is no damage to see
FEW = 3  # damages of each locked table, drawn


def copied(folder: Path, seed: int) -> None:
    """A study that has run, alone in ``folder``."""
    folder.mkdir(exist_ok=True)
    params = yaml.safe_load((STUDY / "params.yaml").read_text(encoding="utf-8"))
    params["study"] |= {"source": ".", "seed": seed}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    shutil.copy(STUDY / "dvc.lock", folder)
    shutil.copytree(STUDY / "metrics", folder / "metrics")


def reported() -> object:
    """What the pages would say of the project."""
    called(["report"])
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    return readme.summary(Path("metrics")), readme.blocks(Path(), ".", params)


def gathered() -> object:
    """The table of both seeds."""
    called(["seeds", str(AGAIN)])
    return Path("metrics/seeds.csv").read_bytes()


def begun() -> None:
    """The project: a study, beside it the same with another seed, and what was gathered before."""
    copied(Path(), 0)
    copied(AGAIN, 1)
    shutil.copy(OTHER / "metrics/seeds.csv", "metrics")


@cache
def whole(use: Callable[[], object]) -> object:
    """What comes of tables that are whole."""
    here = Path.cwd()
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        begun()
        found = use()
        os.chdir(here)
    return found


def attempt(file: Path, spoil: Spoil, use: Callable[[], object], project: Path) -> None:
    """Damage one table and use all of them."""
    expected = whole(use)
    begun()
    spoil(file)
    expect(use() == expected, f"{file}: another result, and nothing said")


def rows(data: bytes, first: int, last: int) -> bytes:
    """A table's header and some of its rows."""
    lines = data.splitlines(keepends=True)
    return b"".join([lines[0], *lines[1 + first : 1 + last]])


def merged(data: bytes) -> bytes:
    """Two versions of a row, as git leaves them."""
    lines = data.splitlines(keepends=True)
    return b"".join([*lines[:2], b"<<<<<<< ours\n", lines[2], b"=======\n", lines[2], b">>>>>>> theirs\n", *lines[3:]])


def spoils() -> dict[str, Spoil]:
    """What no table survives."""
    found = truncations() | OVERWRITTEN | {"another table": lambda path: path.write_text("a,b\n1,2\n"), "a merge": rewritten(merged)}
    return found | {"a header alone": rewritten(partial(rows, first=0, last=0)), "a text": lambda path: path.write_bytes(b"caf\xe9\n")}


def faults(rng: Random) -> Iterator[Fault]:
    """Some of the damages of each table that a lock knows, all of the others'; and of the tables that seeds are gathered from."""
    beyond = {"rows gone": rewritten(partial(rows, first=0, last=2)), "a row gone": rewritten(partial(rows, first=1, last=10**6))}
    locked = spoils() | beyond | flips(rng, 8)
    for name in LOCKED:
        for damage in rng.sample(sorted(locked), FEW):
            yield fault(Path("metrics"), name, damage, locked[damage], reported)
    for name in FREE:
        for damage, spoil in spoils().items():
            yield fault(Path("metrics"), name, damage, spoil, reported)
    for name in seeds.COMPARED:
        for damage, spoil in locked.items():
            yield fault(AGAIN / "metrics", name, damage, spoil, gathered)


def fault(folder: Path, name: str, damage: str, spoil: Spoil, use: Callable[[], object]) -> Fault:
    """One table, one damage."""
    file = folder / f"{name}.csv"
    return Fault("tables", f"{file}: {damage}", partial(attempt, file, spoil, use), names=file.name, bound=40, cost=1.0)
