"""Where tensors live: everything once on the CPU, and once on a fake device, which refuses the CPU's tensors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from regen_lib.core import devices
from regen_lib.core.environment import MEMORY_FORMAT
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images, batch_size
from regen_lib.core.inference import logits, perturb
from regen_lib.core.layers import convolutions
from regen_lib.core.perturbations import load_bank
from regen_lib.core.storage import read_tensors
from regen_lib.networks import load_network, save_network
from regen_lib.regeneration.unit import regenerate
from tests.conftest import TASK, draw, rng
from tests.device_work import ATTACKS, RIVALS
from tests.repository import REPOSITORY


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of both runs."""
    folders = tmp_path_factory.mktemp("cpu"), tmp_path_factory.mktemp("pretend")
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    for folder, where in zip(folders, ("cpu", "pretend"), strict=True):
        command = [sys.executable, "-m", "tests.device_work", str(folder), where]
        done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    return folders


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_makes_the_same_bank_on_a_device(both: tuple[Path, Path], attack: str) -> None:
    cpu, device = (load_bank(folder / f"{attack}.safetensors") for folder in both)
    assert cpu.network_hash == device.network_hash
    torch.testing.assert_close(device.perturbations, cpu.perturbations, rtol=1e-3, atol=1e-2)
    assert (device.fooling, device.gradients) == (cpu.fooling, cpu.gradients)


def test_synthesis_training_and_evaluation_are_the_same_on_a_device(both: tuple[Path, Path]) -> None:
    cpu, device = (json.loads((folder / "found.json").read_text()) for folder in both)
    for what in ("losses", "logits", "right"):
        assert device[what] == pytest.approx(cpu[what], rel=1e-4, abs=1e-5)
    for column in ("norm", "bound", "observed"):
        assert device["filters"][column] == pytest.approx(cpu["filters"][column], rel=1e-4)
    mine, theirs = (read_tensors(folder / "tensors.safetensors", "test")[0]["synthetic"] for folder in both)
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("rival", RIVALS)
def test_a_defence_is_the_same_on_a_device(both: tuple[Path, Path], rival: str) -> None:
    cpu, device = (json.loads((folder / "found.json").read_text())[rival] for folder in both)
    assert device == pytest.approx(cpu, rel=1e-2, abs=5e-3)


def test_the_device_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.best() == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert devices.best() == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(StudyError, match=r"set run\.processes to 2"):
        devices.best()
    monkeypatch.delenv("LOCAL_RANK")
    assert devices.best() == torch.device("cuda", 0)


def test_draws_come_from_the_cpu_and_arrive_on_the_device() -> None:
    """The mode alone, with a default device that needs no hardware: ``meta`` holds no values, but says where a tensor is."""
    before = torch.get_default_device()
    torch.set_default_device("meta")
    try:
        with devices.DrawnOnCPU():
            drawn = torch.rand(3, generator=torch.Generator(device="cpu").manual_seed(0))
            plain = torch.zeros(3)
            weight = torch.nn.Parameter(torch.ones(4, 4, device="cpu"))
            torch.nn.init.kaiming_normal_(weight, generator=torch.Generator(device="cpu").manual_seed(0))
    finally:
        torch.set_default_device(None if before.type == "cpu" else before)
    assert drawn.device.type == "meta"
    assert plain.device.type == "meta"
    expected = torch.empty(4, 4)
    torch.nn.init.kaiming_normal_(expected, generator=torch.Generator().manual_seed(0))
    assert torch.equal(weight, expected)


def test_float32_is_float32_on_a_gpu() -> None:
    """Neither convolutions nor matrix products may take TensorFloat-32 for it."""
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize(("side", "most", "expected"), [(28, 125, 125), (32, 250, 250), (64, 125, 31), (224, 125, 2), (224, 10, 1)])
def test_fewer_large_images_at_once_on_a_cpu(side: int, most: int, expected: int) -> None:
    pixels = torch.empty(1, 3, side, side, dtype=torch.uint8)
    assert batch_size(pixels, most) == expected
    with torch.device("meta"):
        assert batch_size(pixels, most) == most


def test_memory_formats_give_the_same_predictions(
    network: nn.Module, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_network(tmp_path / "network.safetensors", network)
    weights = regenerate(network, layers := ["conv1_2", "conv3_1"], generator=rng()).state_dict()
    found, layouts = [], []
    for name, layout in devices.FORMATS.items():
        monkeypatch.setenv(MEMORY_FORMAT, name)
        defended = regenerate(load_network(tmp_path / "network.safetensors"), layers, generator=rng())
        defended.load_state_dict(weights)  # a draw fills a tensor in the order in which it lies
        with convolutions(defended) as outputs:
            found.append(torch.cat(list(logits(defended, images.pixels, draw(2, *TASK.shape) * 20, torch.arange(48) % 2))))
            assert all(output.is_contiguous(memory_format=layout) for output in outputs)
            layouts.append([output.stride() for output in outputs])
        colour = perturb(torch.zeros(5, 3, 8, 8, dtype=torch.uint8), draw(2, 3, 8, 8), torch.arange(5) % 2)
        assert colour.is_contiguous(memory_format=layout)
    assert layouts[0] != layouts[1]
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)
