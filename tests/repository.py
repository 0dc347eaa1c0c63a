"""Where the repository is, and copies of it."""

import shutil
from collections.abc import Iterable
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent


def copied_to(target: Path, folders: Iterable[str], files: Iterable[str]) -> Path:
    """``target``, with these folders and files of the repository in it."""
    for folder in folders:
        shutil.copytree(REPOSITORY / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in files:
        shutil.copy(REPOSITORY / file, target)
    return target
