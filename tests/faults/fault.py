"""What a fault is, how an attempt at it is judged, and what counts as held."""

import os
import re
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil

from regen_lib.core.errors import StudyError

HELD = ("right", "refused")  # the result of an undisturbed run; or one or two lines that say what is wrong and what to do
FAILED = ("wrong", "traceback", "message", "outside", "hang", "died", "orphan", "leftover")
GRACE = 5.0  # seconds in which what an attempt has started must end
LONGEST = 300  # characters of a message, for each line that it may have
REMEDY = re.compile(
    r"\b(ask|at least|at most|check|choose|close|compare|create|crop|delete|download|expected|free|give|install|lower|makes?|mend|move|"
    r"name|needed|needs|put|raise|read|remove|rename|run|save|set|start|take|unlock|use|wait|write)\b|\?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    ``attempt`` brings it about in an empty project's folder and returns where the outcome is that of an undisturbed run. It raises
    :class:`WrongError` where a result is silently another; :class:`StudyError` is a refusal, whose message must contain ``names`` in at
    most so many ``lines``. It may take ``bound`` seconds. ``cost`` is about its CPU seconds, by which a share is chosen.
    """

    kind: str
    name: str
    attempt: Callable[[Path], object]
    names: str = ""
    lines: int = 2
    bound: float = 20.0
    cost: float = 0.05


@dataclass(frozen=True)
class Verdict:
    """``outcome`` is one of :data:`HELD` or :data:`FAILED`, ``said`` the message, or what is wrong."""

    outcome: str
    said: str = ""

    @property
    def held(self) -> bool:
        return self.outcome in HELD


class WrongError(Exception):
    """A result that is not the undisturbed one, of which nobody was told."""


class LeftoverError(Exception):
    """Something that should be gone is still there."""


class OrphanError(Exception):
    """A process that outlives what started it."""


class Hang(BaseException):
    """The attempt takes longer than its bound."""


def expect(condition: bool, otherwise: str) -> None:
    """:class:`WrongError` unless the condition holds."""
    if not condition:
        raise WrongError(otherwise)


def judge(fault: Fault, folder: Path) -> Verdict:
    """Make the attempt in a project deep below ``folder``, an empty one, where all around it is watched."""
    project = folder / "home/user/work/project"
    project.mkdir(parents=True)
    (folder / "precious.txt").write_text("not the project's")
    before, here = surroundings(folder, project), Path.cwd()
    os.chdir(project)
    try:
        verdict = outcome(fault, project)
    finally:
        os.chdir(here)
    if alive := orphans():
        verdict = Verdict("orphan", f"still running: {', '.join(alive)}")
    if changed := before ^ surroundings(folder, project):
        verdict = Verdict("outside", f"written outside the project: in or at {max(changed)[0]}")
    partial = [path.name for path in project.rglob("*.partial*")]
    if verdict.held and partial:
        verdict = Verdict("leftover", f"left behind: {partial[0]}")
    return verdict


def outcome(fault: Fault, project: Path) -> Verdict:
    """What came of the attempt itself."""
    kinds = {WrongError: "wrong", LeftoverError: "leftover", OrphanError: "orphan", Hang: "hang"}
    try:
        with bounded(fault.bound):
            fault.attempt(project)
    except StudyError as error:
        return refusal(str(error), fault.names, fault.lines)
    except BaseException as error:
        said = f"{type(error).__name__}: {error}".partition("\n")[0]
        return Verdict(kinds.get(type(error), "traceback"), said)
    return Verdict("right")


def refusal(message: str, names: str, most: int = 2) -> Verdict:
    """Whether a refusal says in few lines what is wrong with what, and what to do."""
    lines = message.strip().splitlines()
    own_words = re.sub(r"\([^()]*\)", "", message)  # another program's own message is quoted in brackets
    if not lines or len(lines) > most or len(message) > most * LONGEST:
        return Verdict("message", f"{len(lines)} lines, {len(message)} characters: {message[:200]!r}")
    if names not in message:
        return Verdict("message", f"does not name {names}: {message[:200]}")
    if not REMEDY.search(own_words):
        return Verdict("message", f"no remedy: {message[:200]}")
    return Verdict("refused", message)


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """:class:`Hang` after so many seconds; in the main thread only."""

    def late(_signal: int, _frame: FrameType | None) -> None:
        raise Hang(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def surroundings(folder: Path, project: Path) -> set[tuple[str, int, int]]:
    """Name, size and time of everything in ``folder`` that is not the project's; a folder's time tells of what was there for a while."""
    found = set()
    for path in (folder, *folder.rglob("*")):
        if path != project and project not in path.parents:
            about = path.lstat()
            found.add((str(path.relative_to(folder)), 0 if stat.S_ISDIR(about.st_mode) else about.st_size, about.st_mtime_ns))
    return found


def orphans() -> list[str]:
    """Commands of the processes that an attempt has started and that do not end; they are ended here."""
    children = psutil.Process().children(recursive=True)
    _, alive = psutil.wait_procs(children, timeout=GRACE)
    named = []
    for process in alive:
        try:
            named.append(" ".join(process.cmdline())[:80])
            process.kill()
        except psutil.NoSuchProcess:
            continue
    return named
