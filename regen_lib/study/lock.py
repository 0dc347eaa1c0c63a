"""What a study's dvc.lock says of what its stages made."""

import hashlib
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from regen_lib.core.errors import StudyError
from regen_lib.study.reading import Loader

LOCK = "dvc.lock"


def stages(lock: Path) -> dict[str, list[dict[str, Any]]]:
    """The outputs of each stage in a dvc.lock: their paths from the study's folder, md5, size.

    Nothing where there is no such file, :class:`StudyError` for a damaged one.
    """
    if not lock.is_file():
        return {}
    try:
        found = yaml.load(lock.read_text(encoding="utf-8"), Loader=Loader)["stages"]
        return {
            str(name): [{**out, "path": out["path"], "md5": out["md5"]} for out in stage.get("outs", [])] for name, stage in found.items()
        }
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise StudyError(f"{lock} is damaged, or no lock of DVC ({said}): take git's, or run `make repro`") from error


def check_tables(folder: Path, names: Iterable[str], *, needed: bool = False) -> None:
    """:class:`StudyError` for one of the tables ``names`` in a study's metrics that is not as its stage left it.

    A cut table is a table, only shorter. ``needed``: also for one that the lock does not know.
    """
    known = {output["path"]: output["md5"] for output in chain(*stages(folder / LOCK).values())}
    for path in (f"metrics/{name}.csv" for name in names):
        if path not in known and needed:
            raise StudyError(f"{folder / path} is no output that {folder / LOCK} knows: run its stage there first, by `make repro`")
        if path in known and hashlib.md5((folder / path).read_bytes(), usedforsecurity=False).hexdigest() != known[path]:
            raise StudyError(f"{folder / path} is not as {LOCK} beside it has it, cut or changed: delete it and run `dvc repro` there")
