"""What the notebooks' marked cells print on the smoke profile: recorded in ``tests/notebooks``, compared by ``make notebooks``.

A cell is marked by the tag ``nbval-check-output``; what few of a notebook's numbers its own cells print, one of :data:`CLOSING` adds to the
copy. ``python -m tests.recorded copies`` writes each notebook to ``build/`` with what was recorded, for nbval to run there and
compare; ``python -m tests.recorded record`` runs them all and records anew. As a plugin of pytest, ``-p tests.recorded``, this module has
nbval compare what cells print, to four decimals, and nothing else.

A network trained from the same seed differs by whole points of accuracy where sums round otherwise. So the Makefile asks for the kernels
of one family of processors, and there is a folder for each way to round that was recorded, named by :func:`sums`. Where sums come
out in none of these ways cells are run, nothing is compared, and a test that is skipped says so.
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
BUILD = REPOSITORY / "build"  # beside notebooks/: the same relative paths
CLOSING = {  # a last cell in the copy of a notebook that prints fewer than four numbers
    "02_noise_masking": 'masked.pivot_table(index=["depth", "order"], columns="fraction", values="accuracy").round(3)',
    "04b_rivals": """from regen_lib.core.inference import predict

shown = train.first(500)
for name, net in {"undefended": model, defense: defended}.items():
    hits = [predict(net, shown.pixels, v) == shown.labels for v in (None, bank.perturbations)]
    print(name, [round(float(hit.double().mean()), 3) for hit in hits])""",
    "06b_examples": "print(image, banks.fooling_unseen.round(3).to_dict())",
}


def notebooks() -> list[Path]:
    """The study's notebooks, in their order."""
    return sorted((REPOSITORY / "notebooks").glob("[0-9]*.ipynb"))


def marked(notebook: Any) -> list[Any]:
    """The code cells whose outputs are compared."""
    return [cell for cell in code(notebook) if MARK in cell.metadata.get("tags", [])]


def closed(path: Path) -> Any:
    """A notebook, with its closing cell where it has one."""
    notebook = nbformat.read(path, 4)
    if source := CLOSING.get(path.stem):
        notebook.cells.append(nbformat.v4.new_code_cell(source, id="closing", metadata={"tags": [MARK]}))
    return notebook


def copy(path: Path, family: Path | None) -> Any:
    """A notebook with what ``family``, a folder of :data:`RECORDED`, has of its marked cells; nothing else is compared."""
    kept = nbformat.read(family / path.name, 4).cells if family and (family / path.name).is_file() else []
    notebook, recorded = closed(path), {(cell.id, cell.source): cell for cell in kept}
    for cell in code(notebook):
        found = recorded.get((cell.id, cell.source))
        cell.outputs, cell.execution_count = (found.outputs, found.execution_count) if found else ([], None)
        if not found and MARK in cell.metadata.get("tags", []):
            cell.metadata.tags.remove(MARK)
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


def here() -> Path | None:
    """The folder of what was recorded where sums round as on this processor, or none."""
    folder = RECORDED / sums()[:12]
    return folder if folder.is_dir() else None


def test_what_was_recorded_holds_here() -> None:
    """``make notebooks`` collects this beside the copies."""
    if here() is None:
        pytest.skip(
            "sums round otherwise on this processor: cells are run, but not compared; `make record` would record what they print here"
        )


def write_copies() -> None:
    """Every notebook in ``build/`` as nbval runs it."""
    family = here()
    for path in notebooks():
        nbformat.write(copy(path, family), BUILD / path.name)


def record() -> None:
    """Run every notebook in ``build/``, and keep what its marked cells print."""
    import papermill

    from regen_lib.study.kernel import OwnKernel
    from regen_lib.study.stage import QUIET

    kernel = {"kernel_name": "python3", "kernel_manager_class": OwnKernel, "extra_arguments": QUIET}
    (family := RECORDED / sums()[:12]).mkdir(exist_ok=True)
    for path in notebooks():
        print(path.stem, flush=True)
        nbformat.write(closed(path), BUILD / path.name)
        papermill.execute_notebook(BUILD / path.name, BUILD / path.name, cwd=BUILD, progress_bar=False, **kernel)
        kept = nbformat.read(BUILD / path.name, 4)
        kept.cells, kept.metadata = [printed(cell) for cell in marked(kept)], {}
        nbformat.write(kept, family / path.name)


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
