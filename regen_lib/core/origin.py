"""What to do where a file is missing or damaged. Whoever knows what makes a file, as the study does, adds that to :data:`MAKERS`."""

from collections.abc import Callable
from pathlib import Path

MAKERS: list[Callable[[Path], str | None]] = []  # each says what makes a file, or None


def maker(path: Path) -> str | None:
    """What makes ``path``, as far as anybody says."""
    return next((said for known in MAKERS if (said := known(path))), None)


def remedy(path: Path) -> str:
    """What to do where ``path`` is missing."""
    return maker(path) or "run what makes it first"


def renewal(path: Path) -> str:
    """What to do where ``path`` is damaged: a study has what it made in DVC's cache too."""
    if (what := maker(path)) is None:
        return "delete it and make it again"
    return f"delete it, {what} (if it comes back so, the cache is damaged too: `dvc repro --single-item --force` with that stage)"
