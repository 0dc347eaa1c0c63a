"""A notebook, read from its file, whole and fit for what reads its cells; the outputs of a cell in one form."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat

from regen_lib.core.errors import StudyError

GITS = "take git's, or end the merge in it"  # what to do about one of the study's own


def read_notebook(path: Path, otherwise: str = GITS) -> Any:
    """A notebook of version 4; :class:`StudyError` that says what to do ``otherwise`` where it is damaged, or none.

    ``nbformat.read`` alone would take one that breaks the format, and only log that.
    """
    try:
        notebook = nbformat.convert(nbformat.reader.reads(path.read_text(encoding="utf-8")), 4)  # type: ignore[no-untyped-call]
        nbformat.validate(notebook)
    except OSError:
        raise
    except Exception as error:  # nbformat's, which meets what it does not expect with whatever Python raises
        raise StudyError(f"{path} is damaged, or no notebook: {otherwise}") from error
    return notebook


def joined(outputs: Iterable[Any]) -> list[Any]:
    """A cell's outputs, each run of pieces of one stream as one: where a kernel cuts what is printed depends on how fast the machine is."""
    kept: list[Any] = []
    for output in outputs:
        if kept and output.output_type == kept[-1].output_type == "stream" and output.name == kept[-1].name:
            kept[-1].text += output.text
        else:
            kept.append(output)
    return kept
