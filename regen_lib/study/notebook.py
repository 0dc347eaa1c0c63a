"""How a notebook begins: in which folder, and with a word on what its numbers are worth."""

import os
from pathlib import Path

from IPython.display import Markdown, display

from regen_lib.core.runtime import start
from regen_lib.study.reading import read_yaml

PIPELINE = "dvc.yaml"  # what marks the folder of a study
BANNER = "**A run in miniature.** It shows that the code works; its numbers mean nothing. Those of the study are in `metrics/`."


def begin(root: str, threads: int) -> Path:
    """Set the process up (:func:`regen_lib.core.runtime.start`); returns the folder that holds ``data``, ``figures`` and ``metrics``.

    A run on small settings, the defaults of every notebook or the smoke profile, shows a banner that says so.
    """
    start(threads)
    folder = below(root)
    if in_miniature(folder):
        display(Markdown(BANNER))  # type: ignore[no-untyped-call]
    return folder


def below(path: str) -> Path:
    """``path`` from the folder of the study, the nearest above this process that has a dvc.yaml: so a notebook runs wherever it lies."""
    here = Path.cwd()
    study = next((folder for folder in (here, *here.parents) if (folder / PIPELINE).exists()), here)
    return Path(os.path.relpath(study / path))


def in_miniature(folder: Path) -> bool:
    """Whether a study runs on small settings: its parameters say so, or it has none."""
    params = folder / "params.yaml"
    study = read_yaml(params).get("study") if params.is_file() else None
    return not isinstance(study, dict) or study.get("miniature") is True
