"""One stage of the study: a notebook, run through papermill with its section of params.yaml.

``python -m regen_lib.study run 04_training --as units-vgg16 --section training --set network=vgg16 --set layers=@units.vgg16`` runs
``notebooks/04_training.ipynb`` with the keys of ``training`` as its parameters (``@a.b``: a value from params.yaml) and leaves the
executed notebook in ``executed/units-vgg16.ipynb``, and what it cost in ``build/usage/units-vgg16.json``.
"""

import ast
import json
import os
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml

from regen_lib.core.environment import IN_STAGE, MEMORY_FORMAT, TF32
from regen_lib.core.errors import StudyError
from regen_lib.core.replacing import replace_bytes, writing
from regen_lib.study import lifeline
from regen_lib.study.files import plain
from regen_lib.study.kernel import OwnKernel
from regen_lib.study.notebook_file import joined, read_notebook
from regen_lib.study.params import lookup

EXECUTED, USAGE, CODE = Path("executed"), Path("build/usage"), Path("data/code")
QUIET = ["--IPKernelApp.log_level=50"]  # the kernel's own remarks on sockets and its end; a cell's errors still come through


@dataclass(frozen=True)
class Stage:
    """A stage as dvc.yaml asks for it: notebook, its name, section of params.yaml, and ``key=value`` settings."""

    notebook: str
    name: str
    section: str
    settings: tuple[str, ...]

    def __post_init__(self) -> None:
        plain(self.name)

    @property
    def command(self) -> list[str]:
        """The arguments of ``python -m regen_lib.study`` that run it."""
        sets = [word for setting in self.settings for word in ("--set", setting)]
        return ["run", self.notebook, "--as", self.name, "--section", self.section, *sets]

    def source(self, params: dict[str, Any]) -> Path:
        """The notebook's file; :class:`StudyError` where there is none."""
        path = Path(params["study"]["source"]) / "notebooks" / f"{self.notebook}.ipynb"
        if not path.is_file():
            raise StudyError(f"{path} is missing: run in the study's folder with a name from notebooks/")
        return path

    def values(self, params: dict[str, Any]) -> dict[str, Any]:
        """What the stage hands its notebook: what all share, the section's keys, then the settings.

        :class:`StudyError` unless these are exactly the notebook's parameters: papermill itself would only warn.
        """
        section = lookup(params, self.section)
        if not isinstance(section, dict):
            raise StudyError(f"--section {self.section} is one value of params.yaml, no section: name one that has keys")
        given = {**params["study"], "root": ".", **section, **dict(set_to(setting, params) for setting in self.settings)}
        expected = notebook_parameters(source := self.source(params))
        given = {key: value for key, value in given.items() if key in expected or key not in params["study"]}
        if set(given) != set(expected):
            unknown, missing = sorted(set(given) - set(expected)), sorted(set(expected) - set(given))
            raise StudyError(f"{source}: parameters it does not know: {unknown}; parameters nobody gives: {missing}")
        return given


def set_to(setting: str, params: dict[str, Any]) -> tuple[str, Any]:
    """The key and the value that a ``key=value`` gives, in YAML, or from ``params`` where it is ``@a.b``; :class:`StudyError` otherwise."""
    key, equals, value = setting.partition("=")
    if not equals:
        raise StudyError(f"--set {setting}: give KEY=VALUE")
    try:
        return key, lookup(params, value[1:]) if value.startswith("@") else yaml.safe_load(value)
    except (yaml.YAMLError, ValueError) as error:  # a bracket that is open, a date that is none; a key that params.yaml has not
        said = " ".join(str(error).split())
        raise StudyError(f"--set {setting} has no value ({said}): give a plain one, or quote it for YAML") from error


def notebook_parameters(path: Path) -> dict[str, Any]:
    """The names and default values in a notebook's ``parameters`` cell, which holds plain literals only."""
    cells = [c for c in read_notebook(path).cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise StudyError(f"{path}: {len(cells)} cells are tagged 'parameters': give exactly one that tag")
    found = {}
    try:
        for statement in ast.parse(cells[0].source).body:
            target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
            if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and statement.value is not None:
                found[target.id] = ast.literal_eval(statement.value)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:  # no Python; no literal
        after = f"after {list(found)[-1]}" if found else "at its beginning"
        raise StudyError(f"{path}: its cell of parameters is no list of plain values {after}: write NAME = VALUE there") from error
    return found


def several(params: dict[str, Any]) -> bool:
    """Whether this process is to start others that run the notebook."""
    return "RANK" not in os.environ and params["run"]["processes"] > 1


def launch(how: dict[str, Any], stage: Stage) -> int:
    """Start this very stage in several processes, as params.yaml's ``run`` says; the launcher's exit status."""
    command = [*shlex.split(how["launcher"]), f"--nproc-per-node={how['processes']}", "-m", "regen_lib.study", *stage.command]
    with lifeline.owned(stage.name):
        return subprocess.run(command, check=False, **lifeline.tied()).returncode


def run(stage: Stage, params: dict[str, Any]) -> None:
    """Run a notebook as a stage. The executed copy is written whether or not it succeeds; a failing cell raises.

    Started by torchrun, every process runs the notebook, and all but the first name their copies by their rank.
    """
    begun, rank = time.monotonic(), int(os.environ.get("RANK", "0"))
    source, values = stage.source(params), stage.values(params)  # refuse before anything is written
    name = f"{stage.name}-rank{rank}" if rank else stage.name
    target = (Path("build") if rank else EXECUTED) / f"{name}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # DVC's cache may hold the same file, by a link, and papermill writes in place
    os.environ.update({IN_STAGE: name, MEMORY_FORMAT: params["study"]["memory_format"], TF32: str(int(params["study"].get("tf32", False)))})
    streams = {"stdout_file": sys.stdout, "stderr_file": sys.stderr}
    kernel = {"kernel_name": "python3", "kernel_manager_class": OwnKernel, "shutdown_kernel": "immediate", "extra_arguments": QUIET}
    with nullcontext() if "RANK" in os.environ else lifeline.owned(name):  # the launcher owns the stage of several processes
        try:
            with writing(target, "see to room and rights there, and run the stage again"):
                papermill.execute_notebook(source, target, values, progress_bar=False, **kernel, **streams)
        except papermill.PapermillExecutionError:  # the traceback stands in the notebook
            tidied(target)
            raise
        except RuntimeError as error:  # nbclient's
            raise StudyError(f"{source}: its kernel was killed, for want of memory perhaps: run the stage again ({error})") from error
        last = tidied(target)
    if last is None:
        raise StudyError(f"{source}: a cell stopped the notebook early, its last cell did not run; see {target}")
    replace(USAGE / f"{name}.json", json.dumps({**usage(), "seconds": time.monotonic() - begun}))


def tidied(path: Path) -> int | None:
    """An executed notebook without what differs from run to run, times and progress bars; the count of its last code cell."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    notebook.metadata.pop("papermill", None)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"  # papermill draws one
    for cell in code:
        cell.outputs = joined(output for output in cell.outputs if output.get("name") != "stderr")
    replace(path, nbformat.writes(notebook))  # type: ignore[no-untyped-call]
    last: int | None = code[-1].execution_count
    return last


def replace(path: Path, text: str) -> None:
    """Write ``text`` whole or not at all."""
    replace_bytes(path, text.encode())


def usage() -> dict[str, float]:
    """CPU seconds and peak memory of this process and its finished children, the notebook's kernel among them."""
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {"cpu_seconds": sum(p.ru_utime + p.ru_stime for p in parts), "peak_mb": max(p.ru_maxrss for p in parts) / 1000}


def parsed(words: Sequence[str]) -> Stage | None:
    """The stage that a command of dvc.yaml runs, ``python -m regen_lib.study run ...`` split into words; None for another command."""
    if list(words[1:4]) != ["-m", "regen_lib.study", "run"]:
        return None
    options = dict(zip(words[5::2], words[6::2], strict=False))
    settings = tuple(value for key, value in zip(words[5::2], words[6::2], strict=True) if key == "--set")
    return Stage(words[4], options["--as"], options["--section"], settings)
