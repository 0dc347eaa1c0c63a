"""What the benchmarks' command lines share."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from regen_lib.errors import StudyError


def status(work: Callable[[], None]) -> int:
    """The exit status of a program that does ``work``: 0, or 2 where a :class:`StudyError`, which is printed, ended it."""
    try:
        work()
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def earlier(path: Path, measured: Sequence[Mapping[str, Any]]) -> list[pd.DataFrame]:
    """What a table keeps when ``measured``, each the values that name some of its rows, are measured anew: a frame, or none."""
    if not path.is_file():
        return []
    table = pd.read_csv(path)
    return [table[[each not in measured for each in table[list(measured[0])].to_dict("records")]]]
