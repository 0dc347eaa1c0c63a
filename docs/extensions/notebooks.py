"""Notebooks as the pipeline ran them, where that is at hand: ``executed/`` has a copy of each, under the name of its stage."""

import re
from pathlib import Path

from sphinx.application import Sphinx

STAGE = re.compile(r"\brun (?P<notebook>\w+) --as (?P<stage>[\w-]+)")  # in dvc.yaml; of a stage for many networks its name's beginning


def setup(app: Sphinx) -> dict[str, bool]:
    """Replace a notebook's text as it is read."""
    app.connect("source-read", put_executed)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def put_executed(app: Sphinx, docname: str, source: list[str]) -> None:
    """The executed copy's text for the notebook's own, where there is one."""
    folder, _, notebook = docname.rpartition("/")
    if folder == "notebooks":
        found = executed(Path(app.srcdir), notebook)
        if found:
            app.env.note_dependency(found)
            source[0] = found.read_text(encoding="utf-8")


def executed(root: Path, notebook: str) -> Path | None:
    """The first stage's copy of a notebook, of those that are there."""
    stages = STAGE.findall((root / "dvc.yaml").read_text(encoding="utf-8"))
    names = [stage for name, stage in stages if name == notebook]
    return next((path for name in names for path in sorted((root / "executed").glob(f"{name}*.ipynb"))), None)
