"""The study's stages: each runs a notebook through papermill with its section of params.yaml.

``python -m regen_lib.study run 04_training --section training --set network=vgg16 --set layers=@units.vgg16`` runs
``notebooks/04_training.ipynb`` with the keys of ``training`` in params.yaml as its parameters (``@a.b``: a value from params.yaml)
and leaves the executed notebook in ``build/executed``.
"""

import ast
import json
import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml

from regen_lib.core.environment import IN_STAGE, MEMORY_FORMAT
from regen_lib.core.errors import StudyError
from regen_lib.study.params import lookup

EXECUTED = Path("build/executed")  # what a stage leaves besides its outputs: the executed notebook, and what it cost
# for the notebook's process: freed tensors stay in it, or glibc hands them back and has them cleared again, a tenth of the time
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**30)}


def notebook_parameters(path: Path) -> dict[str, Any]:
    """The names and default values in a notebook's ``parameters`` cell, which holds plain literals only."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    cells = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise StudyError(f"{path}: {len(cells)} cells are tagged 'parameters': tag exactly one")
    statements = ast.parse(cells[0].source).body
    return {
        s.targets[0].id: ast.literal_eval(s.value) for s in statements if isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name)
    }


def parameters_for(params: dict[str, Any], section: str, settings: list[str], notebook: Path) -> dict[str, Any]:
    """What a stage hands its notebook: study's seed and threads, the section's keys, then ``key=value`` settings.

    :class:`StudyError` unless these are exactly the notebook's parameters: papermill itself would only warn.
    """
    given = {**params["study"], "root": ".", **lookup(params, section)}
    for setting in settings:
        key, _, value = setting.partition("=")
        given[key] = lookup(params, value[1:]) if value.startswith("@") else yaml.safe_load(value)
    expected = notebook_parameters(notebook)
    given = {key: value for key, value in given.items() if key in expected or key not in params["study"]}
    if set(given) != set(expected):
        unknown, missing = sorted(set(given) - set(expected)), sorted(set(expected) - set(given))
        raise StudyError(f"{notebook}: parameters it does not know: {unknown}; parameters nobody gives: {missing}")
    return given


def notebook_of(name: str) -> Path:
    """A notebook's file; :class:`StudyError` where there is none."""
    source = Path("notebooks") / f"{name}.ipynb"
    if not source.is_file():
        raise StudyError(f"{source} is missing: run in the study's folder with a name from notebooks/")
    return source


def several(params: dict[str, Any]) -> bool:
    """Whether this process is to start others that run the notebook."""
    return "RANK" not in os.environ and params["run"]["processes"] > 1


def launch(how: dict[str, Any], arguments: list[str]) -> int:
    """Start this very stage in several processes, as params.yaml's ``run`` says; the launcher's exit status."""
    command = [*shlex.split(how["launcher"]), f"--nproc-per-node={how['processes']}", "-m", "regen_lib.study", *arguments]
    return subprocess.run(command, check=False).returncode


def run(params: dict[str, Any], name: str, section: str, settings: list[str], stage: str) -> None:
    """Run a notebook as a stage. The executed copy is written whether or not it succeeds; a failing cell raises.

    Started by torchrun, every process runs the notebook, and all but the first name their copies by their rank.
    """
    if int(os.environ.get("RANK", "0")):
        stage = f"{stage}-rank{os.environ['RANK']}"
    source = notebook_of(name)
    values = parameters_for(params, section, settings, source)
    target = EXECUTED / f"{stage}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    os.environ.update({IN_STAGE: stage, MEMORY_FORMAT: params["study"]["memory_format"]})
    os.environ.update({name: value for name, value in KEPT_MEMORY.items() if name not in os.environ})
    streams = {"stdout_file": sys.stdout, "stderr_file": sys.stderr}
    quiet = ["--IPKernelApp.log_level=50"]  # the kernel's own remarks on sockets and its end; a cell's errors still come through
    executed = papermill.execute_notebook(
        source, target, values, kernel_name="python3", progress_bar=False, extra_arguments=quiet, **streams
    )
    last = [c for c in executed.cells if c.cell_type == "code"][-1]
    if last.execution_count is None:
        raise StudyError(f"{source}: a cell stopped the notebook early, its last cell did not run; see {target}")
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps(usage()))
    partial.replace(target.with_suffix(".json"))


def usage() -> dict[str, float]:
    """CPU seconds and peak memory of this process and its finished children, the notebook's kernel among them."""
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {"cpu_seconds": sum(p.ru_utime + p.ru_stime for p in parts), "peak_mb": max(p.ru_maxrss for p in parts) / 1000}
