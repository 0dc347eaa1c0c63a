"""What the notebooks' marked cells print on the smoke profile: recorded in ``tests/notebooks``, compared by ``make notebooks``.

A cell is marked by the tag ``nbval-check-output``. ``python -m tests.recorded copies`` writes each notebook to
``build/`` with what was recorded, for nbval to run there and compare; ``python -m tests.recorded record`` runs them all and records
anew. As a plugin of pytest, ``-p tests.recorded``, this module has nbval compare what cells print, to four decimals, and nothing else.

A network trained from the same seed differs by whole points of accuracy where sums round otherwise. So the Makefile asks for the kernels
of one family of processors, and where sums come out differently all the same, cells are run and nothing is compared.
"""

import hashlib
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from torch import nn

from regen_lib.study.outputs import cleaned, code
from tests.repository import REPOSITORY

MARK = "nbval-check-output"
RECORDED = REPOSITORY / "tests/notebooks"
SUMS = RECORDED / "sums.txt"
BUILD = REPOSITORY / "build"  # beside notebooks/: the same relative paths


def notebooks() -> list[Path]:
    """The study's notebooks, in their order."""
    return sorted((REPOSITORY / "notebooks").glob("[0-9]*.ipynb"))


def marked(notebook: Any) -> list[Any]:
    """The code cells whose outputs are compared."""
    return [cell for cell in code(notebook) if MARK in cell.metadata.get("tags", [])]


def copy(path: Path, *, compared: bool = True) -> Any:
    """A notebook with the recorded outputs in its marked cells; without any where they are not to be ``compared``."""
    notebook, recorded = nbformat.read(path, 4), {cell.id: cell for cell in nbformat.read(RECORDED / path.name, 4).cells}
    for cell in code(notebook):
        found = recorded.get(cell.id) if compared else None
        cell.outputs, cell.execution_count = (found.outputs, found.execution_count) if found else ([], None)
    return notebook


def sums() -> str:
    """A hash of what three steps of training come to on this processor."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = nn.Sequential(nn.Conv2d(1, 24, 3), nn.ReLU(), nn.Conv2d(24, 48, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(48 * 144, 10))
    images = torch.rand(64, 1, 28, 28).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), torch.arange(64) % 10).backward()
        optimizer.step()
    return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest()


def write_copies() -> None:
    """Every notebook in ``build/`` as nbval runs it."""
    if not (alike := sums() == SUMS.read_text().strip()):
        print("sums round otherwise on this processor: cells are run, but not compared; `make record` would record what they print here")
    for path in notebooks():
        nbformat.write(copy(path, compared=alike), BUILD / path.name)


def record() -> None:
    """Run every notebook in ``build/``, and keep what its marked cells print."""
    import papermill

    from regen_lib.study.kernel import OwnKernel
    from regen_lib.study.stage import QUIET

    kernel = {"kernel_name": "python3", "kernel_manager_class": OwnKernel, "extra_arguments": QUIET}
    for path in notebooks():
        print(path.stem, flush=True)
        papermill.execute_notebook(path, BUILD / path.name, cwd=BUILD, progress_bar=False, **kernel)
        kept = nbformat.read(BUILD / path.name, 4)
        kept.cells, kept.metadata = [printed(cell) for cell in marked(kept)], {}
        nbformat.write(kept, RECORDED / path.name)
    SUMS.write_text(sums() + "\n")


def printed(cell: Any) -> Any:
    """A cell with the text of its outputs alone."""
    cell.metadata, cell.outputs = {}, cleaned(cell.outputs, cell.execution_count)
    for output in cell.outputs:
        if "data" in output:
            output.data = {"text/plain": output.data["text/plain"]}
    return cell


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave tables' HTML, banners, warnings and progress bars out of nbval's comparison: the text says the same, or they are no result."""
    for notebook in {item.parent for item in items if hasattr(item.parent, "skip_compare")}:
        notebook.skip_compare += ("text/html", "text/markdown", "stderr")
        notebook.sanitize_patterns[r"(\.\d{4})\d+"] = r"\1"


if __name__ == "__main__":
    for folder in (BUILD, RECORDED):
        folder.mkdir(exist_ok=True)
    {"copies": write_copies, "record": record}[sys.argv[1]]()
