"""What the benchmarks' command lines share."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images


def status(work: Callable[[], None]) -> int:
    """The exit status of a program that does ``work``: 0, or 2 where a :class:`StudyError`, which is printed, ended it."""
    try:
        work()
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def control(
    parser: argparse.ArgumentParser, measure: Callable[[argparse.Namespace], None], table: Path, arguments: list[str] | None
) -> int:
    """Run a control on what the study's stages left, with the options that all have beside its own; returns the exit status."""
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder that the study's stages filled")
    parser.add_argument("--table", type=Path, default=table, help=f"where to write (default: {table})")
    return status(partial(measure, parser.parse_args(arguments)))


JUDGES = 5000  # validation images that a control judges on


def unseen(validation: Images, count: int = JUDGES) -> Images:
    """The last ``count`` validation images: attackers take theirs from the first."""
    return Images(validation.pixels[-count:], validation.labels[-count:])


def earlier(path: Path, measured: Sequence[Mapping[str, Any]]) -> list[pd.DataFrame]:
    """What a table keeps when ``measured``, each the values that name some of its rows, are measured anew: a frame, or none."""
    if not path.is_file():
        return []
    table = pd.read_csv(path)
    return [table[[each not in measured for each in table[list(measured[0])].to_dict("records")]]]
