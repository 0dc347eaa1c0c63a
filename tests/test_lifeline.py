"""A stage ends with what started it, runs in this interpreter, and says in a line or two what stopped it."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from regen_lib.core.errors import StudyError
from regen_lib.study import lifeline
from tests.repository import REPOSITORY

# `true` keeps the shell, and with it the distance between DVC and the stage, which DVC tells by DVC_STAGE
DVC = "import os, subprocess, sys\nsubprocess.run(['sh', '-c', ' '.join(sys.argv[1:]) + '; true'], env={**os.environ, 'DVC_STAGE': 'n'})"
STAGE = ["-m", "regen_lib.study", "run", "n", "--as", "slow", "--section", "synthesis"]
SLOW = "import os, sys, time\nfrom pathlib import Path\nPath('kernel').write_text(f'{os.getpid()} {sys.executable}')\ntime.sleep(60)"


@dataclass
class Running:
    """A stage in its notebook: what started it, itself, its kernel."""

    top: "subprocess.Popen[str]"
    stage: psutil.Process
    kernel: psutil.Process

    def ended(self) -> bool:
        """Whether nothing of it is left after five seconds."""
        _, alive = psutil.wait_procs([self.stage, self.kernel], timeout=5)
        return not alive


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study with a notebook that sleeps, on a machine where another environment's kernel is called python3."""
    params = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(params, encoding="utf-8")
    source = ["root = '..'\nmethod = ''\ncount = 1\neta_scale = 1.0", SLOW]
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "execution_count": None, "id": str(n), "metadata": {}, "outputs": [], "source": code}
        for n, code in enumerate(source)
    ]
    cells[0]["metadata"] = {"tags": ["parameters"]}
    metadata = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    (tmp_path / "notebooks").mkdir()
    book = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "notebooks/n.ipynb").write_text(json.dumps(book), encoding="utf-8")
    foreign = tmp_path / "jupyter/kernels/python3/kernel.json"
    foreign.parent.mkdir(parents=True)
    foreign.write_text('{"argv": ["false", "{connection_file}"], "display_name": "hub", "language": "python"}', encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start(folder: Path, *before: str) -> Running:
    """Start the stage, behind the words ``before``, and wait until its notebook sleeps."""
    command = [*before, sys.executable, *STAGE]
    top = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until = time.monotonic() + 60
    while not (folder / "kernel").is_file() or not (said := (folder / "kernel").read_text(encoding="utf-8")):
        assert top.poll() is None, top.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.1)
    pid, interpreter = said.split(" ", 1)
    assert interpreter == sys.executable
    kernel = psutil.Process(int(pid))
    return Running(top, kernel.parent(), kernel)


def test_a_stage_ends_with_its_dvc(folder: Path) -> None:
    running = start(folder, sys.executable, "-c", DVC)
    assert running.top.pid not in (running.stage.pid, running.stage.ppid())  # a shell is between
    running.top.kill()
    assert running.ended()


def test_a_kernel_ends_with_its_stage_whose_lock_is_free_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = start(folder)
    monkeypatch.setattr(lifeline, "PATIENCE", 0.0)
    with pytest.raises(StudyError, match=f"slow is being run by process {running.stage.pid} already"):
        lifeline.owned("slow").__enter__()
    running.stage.kill()
    assert running.ended()
    with lifeline.owned("slow"):
        pass


@pytest.mark.parametrize(
    ("stop", "status", "said"),
    [
        (lambda running: os.killpg(running.top.pid, signal.SIGINT), 130, ["stopped: run n --as slow --section synthesis"]),
        (lambda running: running.stage.terminate(), 130, ["stopped: run n --as slow --section synthesis"]),
        (lambda running: running.kernel.kill(), 2, ["Kernel died", "error: notebooks/n.ipynb: its kernel was killed"]),
    ],
    ids=["Ctrl-C", "SIGTERM", "a killed kernel"],
)
def test_what_is_said_when_something_stops_it(folder: Path, stop: Callable[[Running], None], status: int, said: list[str]) -> None:
    running = start(folder)
    stop(running)
    _, errors = running.top.communicate(timeout=60)
    assert running.top.returncode == status
    assert running.ended()
    lines = errors.splitlines()
    assert len(lines) == len(said)
    assert all(line.startswith(begin) for line, begin in zip(lines, said, strict=True)), errors


def test_an_orphan_from_the_start_does_not_live() -> None:
    """The parent may have ended before its child could ask to end with it."""
    code = "from regen_lib.study import lifeline\nlifeline.end_with_parent(1 << 22)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == -signal.SIGKILL


def test_a_full_disk_is_named(folder: Path) -> None:
    """A limit on the size of files stands for it: larger than what a kernel is told, smaller than a notebook."""
    limited = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (700, 700))
    done = subprocess.run([sys.executable, *STAGE], capture_output=True, text=True, check=False, preexec_fn=limited)
    assert done.returncode == 2
    assert done.stderr.startswith("error: executed/slow.ipynb cannot be written: File too large: see to room and rights there")
    assert len(done.stderr.splitlines()) == 1
