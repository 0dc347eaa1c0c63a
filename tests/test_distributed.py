"""Several processes against one: the same banks to the byte, the same losses, the same predictions."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from regen_lib.core import batch_norm, processes
from regen_lib.core.batch_norm import BatchNorm2d
from regen_lib.core.errors import StudyError
from regen_lib.core.storage import read_tensors
from tests.conftest import draw
from tests.repository import REPOSITORY

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]


def work(folder: Path, processes: int, *options: str) -> dict[str, Any]:
    """``tests/shared_work.py`` in so many processes; what it found, or nothing where it failed."""
    start = [sys.executable] if processes == 1 else [*TORCHRUN, f"--nproc-per-node={processes}"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [*start, "-m", "tests.shared_work", str(folder), *options]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode == 0) == (not options), done.stderr[-3000:]
    if options:
        return {}
    found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Path, dict[str, Any]]]:
    folders = {processes: tmp_path_factory.mktemp(f"processes{processes}") for processes in (1, 2)}
    return {processes: (folder, work(folder, processes)) for processes, folder in folders.items()}


def test_banks_are_the_same_bytes(results: dict[int, tuple[Path, dict[str, Any]]]) -> None:
    (one, _), (two, found) = results[1], results[2]
    assert found["world"] == 2
    names = [f"{which}{seed}.safetensors" for which in "abc" for seed in (0, 1)]
    assert [(one / name).read_bytes() == (two / name).read_bytes() for name in names] == [True] * 6
    assert sorted(path.name for path in two.iterdir()) == sorted([*names, "units.safetensors", "found.json"])


def test_training_is_the_same(results: dict[int, tuple[Path, dict[str, Any]]]) -> None:
    (one, alone), (two, shared) = results[1], results[2]
    assert shared["losses"] == pytest.approx(alone["losses"], abs=1e-4)
    assert len(set(alone["losses"])) == 3  # it did learn
    a, b = (read_tensors(folder / "units.safetensors", "units")[0] for folder in (one, two))
    for name, tensor in a.items():
        torch.testing.assert_close(b[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


def test_predictions_are_the_same(results: dict[int, tuple[Path, dict[str, Any]]]) -> None:
    assert results[1][1]["predictions"] == results[2][1]["predictions"]


def test_goes_on_after_a_process_was_killed(tmp_path: Path, results: dict[int, tuple[Path, dict[str, Any]]]) -> None:
    work(tmp_path, 2, "killed")
    assert (tmp_path / "test.safetensors").is_file()  # the state after two epochs
    assert not (tmp_path / "found.json").exists()
    whole, expected = results[2]
    assert work(tmp_path, 2)["losses"] == expected["losses"]
    assert (tmp_path / "units.safetensors").read_bytes() == (whole / "units.safetensors").read_bytes()


def test_one_process_is_as_if_nothing_were() -> None:
    assert (processes.world(), processes.rank()) == (1, 0)
    assert list(processes.jobs("abc")) == ["a", "b", "c"]
    x = draw(6, 3, 4, 4)
    assert processes.part(x) is x
    assert processes.gathered(x, 6) is x


def test_batch_norm_over_all_processes_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the sums of two processes that hold the same images, what torch makes of these images alone."""
    reference, ours = nn.BatchNorm2d(3), BatchNorm2d(3)
    x = draw(8, 3, 5, 5) * 3 + 1
    expected = reference(x)
    monkeypatch.setattr(batch_norm, "world", lambda: 2)
    monkeypatch.setattr(batch_norm, "all_reduce", lambda total: 2 * total)
    torch.testing.assert_close(ours(x), expected)
    torch.testing.assert_close(ours.running_mean, reference.running_mean)
    torch.testing.assert_close(ours.running_var, reference.running_var, rtol=1e-2, atol=1e-2)  # twice as many images: less bias


def test_a_batch_that_cannot_be_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "world", lambda: 3)
    with pytest.raises(StudyError, match="multiple of 3"):
        processes.check_batch(64)


@pytest.mark.parametrize(
    ("left_over", "said"),
    [
        ({"WORLD_SIZE": "many"}, "WORLD_SIZE is 'many', no number of processes: unset it"),
        ({"WORLD_SIZE": "-2"}, "WORLD_SIZE is '-2'"),
        ({"WORLD_SIZE": "2"}, "RANK, MASTER_ADDR, MASTER_PORT is not set"),
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost"}, "MASTER_PORT is not set"),
    ],
)
def test_what_another_job_left_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch, left_over: dict[str, str], said: str) -> None:
    for name in ("WORLD_SIZE", *processes.TORCHRUN):
        monkeypatch.delenv(name, raising=False)
    for name, value in left_over.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StudyError, match=said):
        processes.join()
