"""A dvc.lock by hand, for studies that no stage has run."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import yaml


def entry(folder: Path, path: Path) -> dict[str, str]:
    """What a lock has of a file that its stage has just written."""
    return {"path": path.relative_to(folder).as_posix(), "md5": hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}


def lock(folder: Path, paths: Iterable[Path]) -> None:
    """Write the dvc.lock of a study one stage of which has written ``paths``."""
    (folder / "dvc.lock").write_text(yaml.safe_dump({"stages": {"all": {"outs": [entry(folder, path) for path in paths]}}}))
