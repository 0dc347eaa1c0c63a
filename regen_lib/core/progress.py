"""Progress bars: widgets in JupyterLab, lines of text where a stage runs in a terminal (see regen_lib.study)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tqdm import tqdm as text
from tqdm.auto import tqdm as automatic

from regen_lib.core.environment import IN_STAGE


class Bar(automatic):  # type: ignore[type-arg]
    """tqdm's bar, which turns red where its loop ends below the total, unless that was :func:`finish`\\ ed."""

    def __iter__(self) -> Iterator[Any]:
        return text.__iter__(self)  # tqdm.notebook's own makes a bar red for good as soon as its loop is left


WHAT: ContextVar[str] = ContextVar("what", default="")  # what a bar is about, where its maker does not know


@contextmanager
def about(what: str) -> Iterator[None]:
    """In a ``with`` block: bars of attacks name ``what`` they make."""
    token = WHAT.set(what)
    try:
        yield
    finally:
        WHAT.reset(token)


tqdm = text if IN_STAGE in os.environ else Bar


def finish(bar: "text[Any]") -> None:
    """Let a bar end green whose loop is left at its goal: one below its total is red, as after an error."""
    bar.total = None
