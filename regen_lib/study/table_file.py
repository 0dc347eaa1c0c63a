"""A table of a study, read from its file: whole, and with the columns that its reader takes."""

import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pandas.api.types import is_numeric_dtype

from regen_lib.core.errors import StudyError
from regen_lib.core.origin import remedy

TEXTS = (  # columns of words; in all others that a reader takes there are numbers
    *("attack", "attack_network", "bank", "defense", "layer", "machine", "measure", "method", "metric", "network", "order"),
    *("setting", "shown", "stage", "sweep"),
)
FOREIGN = {"null bytes": b"\0", "the marks of a merge": b"<<<<<<< "}


def read_table(
    path: Path, columns: Sequence[str] = (), otherwise: str = "delete it and run `dvc repro`", *, filled: bool = False
) -> pd.DataFrame:
    """A table that has these columns; :class:`StudyError` for a missing, a damaged, or another one.

    ``otherwise`` says what to do with a file that is no such table, nor, if it has to be ``filled``, one without rows.
    """
    if not path.is_file():
        raise StudyError(f"{path} is missing: {remedy(path)}")
    data = path.read_bytes()
    try:
        found = pd.read_csv(io.BytesIO(data))
    except ValueError as error:  # pandas' own among them: empty, another number of fields in a line, no UTF-8
        raise StudyError(f"{path} is damaged, or no table ({' '.join(str(error).split())}): {otherwise}") from error
    if lacking := [name for name in columns if name not in found]:
        raise StudyError(f"{path} lacks the columns {', '.join(lacking)}, it is another table: {otherwise}")
    if filled and found.empty:
        raise StudyError(f"{path} has no rows: {otherwise}")
    if not data.endswith(b"\n"):  # half a number is a number
        raise StudyError(f"{path} is cut, its last row does not end: {otherwise}")
    if foreign := [what for what, mark in FOREIGN.items() if mark in data]:  # a row to pandas
        raise StudyError(f"{path} is damaged, it holds {foreign[0]}: {otherwise}")
    if wrong := [name for name in columns if name not in TEXTS and len(found) and not is_numeric_dtype(found[name])]:
        raise StudyError(f"{path} is damaged, not all in its column {wrong[0]} are numbers: {otherwise}")
    return found
