"""What a stage costs besides its work: DVC, papermill, the kernel and the imports."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.timing import Row, row

STAGES = 5
MODULES = {"core.perturbations": "load_bank", "regeneration.unit": "regenerate", "core.runtime": "start"}
IMPORTS = "\n".join(f"from regen_lib.{module} import {name}" for module, name in MODULES.items())


def blank() -> dict[str, Any]:
    """A notebook that takes a section's parameters, imports what most notebooks do, and does nothing."""
    sources = {"a": 'root = ".."\nimages = 1\nbank = "uap"\nseed = 0\nthreads = 1', "b": IMPORTS, "c": "start(threads)"}
    plain: dict[str, Any] = {"cell_type": "code", "execution_count": None, "outputs": []}
    cells: list[dict[str, Any]] = [{**plain, "id": key, "metadata": {}, "source": source} for key, source in sources.items()]
    cells[0]["metadata"] = {"tags": ["parameters"]}
    return {
        "cells": cells,
        "metadata": {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def project(folder: Path) -> None:
    """A study of blank stages, beside as large a dvc.lock as the real one's."""
    (folder / "notebooks").mkdir()
    (folder / "notebooks/blank.ipynb").write_text(json.dumps(blank()))
    shutil.copy("params.yaml", folder / "params.yaml")
    command = f"{sys.executable} -m regen_lib.study run blank --section filter_norms --as"
    stages = {f"blank{k}": {"cmd": f"{command} blank{k}", "deps": ["notebooks/blank.ipynb"]} for k in range(STAGES)}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    if Path("dvc.lock").is_file():
        shutil.copy("dvc.lock", folder / "dvc.lock")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=folder, check=True)


def overhead() -> Iterator[Row]:
    """Wall seconds of a stage that does nothing, of five in one ``dvc repro``, against the eight that are allowed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project(folder)
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=folder, check=True, capture_output=True)
        seconds = (time.perf_counter() - begun) / STAGES
        inside = [json.loads(path.read_text())["cpu_seconds"] for path in folder.glob("build/usage/*.json")]
    yield row(
        "stage", f"{STAGES} blank stages; {sum(inside) / len(inside):.1f} CPU-s each in papermill", seconds, 8.0, "eight seconds", "<1"
    )
