"""The outputs of the study's executed notebooks, put into ``notebooks/`` so that they can be read where they lie in git.

A notebook's metadata name what it shows, ``{"regen_lib": {"study": "studies/cifar10", "stage": "units-caffenet"}}``; one without, or
with another study, is left alone.
``python -m regen_lib.study outputs`` takes them from ``executed/<stage>.ipynb``, without what differs from run to run or from machine
to machine, and leaves a hash of them beside the stage's name: outputs of any other run do not match it (:func:`outputs_hash`).
"""

import ast
import hashlib
import io
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
from PIL import Image

from regen_lib.core.errors import StudyError
from regen_lib.core.replacing import replace_bytes
from regen_lib.core.source import plain
from regen_lib.study.notebook_file import joined, read_notebook
from regen_lib.study.stage import replace

KEY = "regen_lib"  # of a notebook's metadata
WIDGET = "application/vnd.jupyter.widget-view+json"  # a progress bar
PICTURE = ("studies/imagenette", "figures/fig1.png", "docs/static/photograph.jpg")  # the README's: photographs stay out of git, but for it
WIDTH = 900  # of that, in pixels
COLORS = 256  # of a picture: a palette takes a third of the bytes
ADDRESS = re.compile(r" at 0x[0-9a-f]+")
PATH = re.compile(r"(?<![\w.~:/-])/(?:[\w.+-]+/)+(?=[\w.+-])")  # an absolute path's folders


def write_outputs(notebooks: Path, executed: Path, study: str) -> None:
    """Put the executed notebooks' outputs into all of ``notebooks`` that name ``study`` and a stage, or into none.

    :class:`StudyError` where a stage has not run, its notebook failed, or its code is not that of the notebook; where no notebook shows
    ``study``, too: nothing would be written, and nothing said.
    """
    if not executed.is_dir():
        raise StudyError(f"{executed} is missing: `make repro` makes it, or give another folder with --executed")
    made, shown = {}, set[str]()
    for path in sorted(notebooks.glob("*.ipynb")):
        notebook = read_notebook(path)
        about = notebook.metadata.get(KEY, {})
        shown.add(about.get("study", ""))
        if about.get("study") == study:
            show(notebook, run_cells(path, notebook, executed / f"{about['stage']}.ipynb"))
            made[path] = nbformat.writes(notebook) + "\n"  # type: ignore[no-untyped-call]
    if not made:
        known = " or ".join(sorted(filter(None, shown)))
        raise StudyError(f"{notebooks}: none shows the study {study!r}: run it in the folder of one that they name ({known})")
    for path, text in made.items():
        replace(path, text)


def write_picture(root: Path, study: str) -> None:
    """The README's picture anew, small, where ``study`` is the one that has it."""
    of, figure, target = PICTURE
    if study == of:
        made, picture = io.BytesIO(), Image.open(root / of / figure).convert("RGB")
        picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS).save(made, "JPEG", quality=85)
        replace_bytes(root / target, made.getvalue())


def show(notebook: Any, copies: list[Any]) -> None:
    """Put the outputs of executed ``copies`` of its code cells into a notebook, and their hash."""
    for number, (cell, copy) in enumerate(zip(code(notebook), copies, strict=True), 1):
        cell.outputs, cell.execution_count = cleaned(copy.outputs, number), number
    notebook.metadata[KEY]["outputs"] = outputs_hash(notebook)


def run_cells(path: Path, notebook: Any, source: Path) -> list[Any]:
    """The executed code cells at ``source``, one for each code cell of ``notebook``."""
    if not source.is_file():
        raise StudyError(f"{source} is missing: `make repro` makes it ({path} shows its outputs)")
    copies = code(read_notebook(source, "run the stage again"))
    theirs, ours = ([statements(cell) for cell in cells] for cells in (copies, code(notebook)))
    if theirs != ours:
        first = next((n for n, pair in enumerate(zip(theirs, ours, strict=False)) if pair[0] != pair[1]), min(len(theirs), len(ours)))
        raise StudyError(f"{source}: code cell {first + 1} is not that of {path}: run the stage again")
    if any(output.output_type == "error" for cell in copies for output in cell.outputs):
        raise StudyError(f"{source}: a cell failed; run the stage again")
    return copies


def code(notebook: Any) -> list[Any]:
    """The code cells, but the one in which papermill puts a stage's parameters."""
    return [c for c in notebook.cells if c.cell_type == "code" and "injected-parameters" not in c.metadata.get("tags", [])]


def statements(cell: Any) -> str:
    """What a cell does; the defaults of the parameters, which a stage replaces, count no more than comments do."""
    if "parameters" in cell.metadata.get("tags", []):
        return "parameters"
    try:
        return plain(ast.parse(cell.source))
    except SyntaxError:  # a magic command
        return str(cell.source)


def cleaned(outputs: Iterable[Any], count: int) -> list[Any]:
    """Outputs without progress bars, warnings, addresses and machine paths; pictures small; streams in one piece."""
    kept: list[Any] = []
    for output in outputs:
        if output.get("name") == "stderr" or WIDGET in output.get("data", {}):
            continue
        output = nbformat.from_dict(output)  # type: ignore[no-untyped-call]
        if output.output_type == "stream":
            output.text = portable(re.sub(r"^.*\r(?=[^\n])", "", output.text, flags=re.MULTILINE))
        else:
            output.metadata = {}
            output.data = {mime: small(value) if mime == "image/png" else portable(value) for mime, value in output.data.items()}
        if output.output_type == "execute_result":
            output.execution_count = count
        kept.append(output)
    return joined(kept)


def portable(text: Any) -> Any:
    """A text without objects' addresses and the folders of absolute paths."""
    return PATH.sub("", ADDRESS.sub("", text)) if isinstance(text, str) else text


def small(png: str) -> str:
    """A picture, in base64, with a palette; as it is where it has one, or where that takes no fewer bytes."""
    raw, made = b64decode(png), io.BytesIO()
    picture = Image.open(io.BytesIO(raw))
    if picture.mode == "P":  # a palette made anew of many colours would be another
        return png
    picture.convert("RGB").quantize(COLORS).save(made, "PNG", optimize=True)
    return b64encode(min(made.getvalue(), raw, key=len)).decode()


def outputs_hash(notebook: Any) -> str:
    """SHA-256 of all outputs of a notebook."""
    outputs = [[cell.execution_count, cell.outputs] for cell in code(notebook)]
    return hashlib.sha256(json.dumps(outputs, sort_keys=True).encode()).hexdigest()
