"""What the benchmarks' command lines share."""

import sys
from collections.abc import Callable

from regen_lib.errors import StudyError


def status(work: Callable[[], None]) -> int:
    """The exit status of a program that does ``work``: 0, or 2 where a :class:`StudyError`, which is printed, ended it."""
    try:
        work()
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
