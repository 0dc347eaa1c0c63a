"""The study's commands and small programs in a project, in processes of their own, judged as a user sees them."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from regen_lib.core.errors import StudyError
from regen_lib.study.__main__ import main
from tests.faults.fault import Hang
from tests.repository import REPOSITORY

STUDY = [sys.executable, "-m", "regen_lib.study"]


class TracebackError(Exception):
    """A program's end with a traceback, or with a status that says nothing."""


def environment(**changes: str | None) -> dict[str, str]:
    """This process's environment with changes (None: without); the code of this checkout, wherever a program runs."""
    found = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    found.update({key: value for key, value in changes.items() if value is not None})
    return {key: value for key, value in found.items() if key not in changes or changes[key] is not None}


def run(
    words: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    before: Callable[[], object] | None = None,
    seconds: float = 120,
    cwd: Path | None = None,
) -> str:
    """What a program prints; :class:`StudyError` with its message where it ends with status 2, as the study's commands do.

    ``before`` is called in the new process. :class:`TracebackError` for any other end.
    """
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=env or environment(),
        preexec_fn=before,
        cwd=cwd,
    )
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise Hang(f"{words[-1]}: more than {seconds:g} s") from error
    return ended(process.returncode, out, err)


def ended(status: int, out: str, err: str) -> str:
    """What a program printed, if it ended well."""
    if "Traceback (most recent call last)" in err + out:
        raise TracebackError(f"status {status}: {last_line(err + out)}")
    if status in (1, 2) and "error: " in err:
        raise StudyError(err.partition("error: ")[2])
    if status:
        raise TracebackError(f"status {status}: {last_line(err + out)}")
    return out


def last_line(text: str) -> str:
    """The last line of a text that says something."""
    return ([line for line in text.splitlines() if line.strip()] or ["nothing said"])[-1][:300]


def called(arguments: list[str]) -> None:
    """A command of the study, in this process; :class:`StudyError` with what it says where it ends with status 2."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            status = main(arguments)
        except SystemExit as error:  # argparse
            status = int(str(error.code))
    if status == 2:
        raise StudyError(said.getvalue().partition("error: ")[2])
    if status:
        raise TracebackError(f"status {status}: {last_line(said.getvalue())}")
