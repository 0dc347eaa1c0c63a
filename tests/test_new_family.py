"""A network of another family is one file and a row: in a copy of the package, from the file to params.yaml and back from disk."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from regen_lib.networks import NETWORKS
from regen_lib.study.titles import ATTACK_TITLES, TITLES
from tests.repository import REPOSITORY

FAMILY = '''
"""LeNet (LeCun et al. 1998): two convolutions."""

from collections import OrderedDict

from torch import nn

from regen_lib.networks.blocks import Normalize, Task


def lenet(task: Task, *, width: int = 8) -> nn.Sequential:
    """Build LeNet: ``[N, C, H, W]`` pixels to ``[N, classes]`` logits."""
    layers = OrderedDict(normalize=Normalize(task.mean, task.std), conv1=nn.Conv2d(task.shape[0], width, 5), relu1=nn.ReLU())
    layers.update(pool=nn.AdaptiveAvgPool2d(4), flatten=nn.Flatten(), fc=nn.Linear(16 * width, task.classes))
    return nn.Sequential(layers)
'''
WORK = """
from pathlib import Path

import torch
import yaml

import regen_lib as rl
from regen_lib.core.seeding import generator
from regen_lib.networks import build, save_network
from regen_lib.networks.blocks import initialise
from regen_lib.networks.task import describe
from regen_lib.study.params import load_params

params = yaml.safe_load(Path("study.yaml").read_text())
params["study"]["networks"].append("lenet")
params["networks"]["lenet"] = {"options": {"width": 4}, "conv1_scale": 0.1, "recipe": {"epochs": 1, "rate": 0.01}}
params["units"]["lenet"] = ["conv1"]
Path("params.yaml").write_text(yaml.safe_dump(params))
assert "lenet" in load_params(Path("params.yaml"))["study"]["networks"]

pixels = torch.randint(0, 256, (32, 1, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
images = rl.Images(pixels, torch.arange(32) % 4)
task = describe(images, 4)
network = initialise(build("lenet", task, width=4), generator(0, "weights", "lenet"))
before = network(pixels.float())
rl.fit(network, [network], images, rl.Recipe(epochs=1, rate=0.01, batch=8), seed=0, name="lenet")
assert not network(pixels.float()).equal(before)
save_network(Path("lenet.safetensors"), network)
loaded = rl.load_network(Path("lenet.safetensors"))
assert loaded.family == "lenet"
assert torch.allclose(loaded(pixels.float()), network(pixels.float()), atol=1e-5)
assert "lenet" in rl.NETWORKS and "blocks" not in rl.NETWORKS
"""


def test_a_file_and_a_row_are_a_network(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "regen_lib", tmp_path / "regen_lib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "params.yaml", tmp_path / "study.yaml")
    (tmp_path / "regen_lib/networks/lenet.py").write_text(FAMILY)
    command, environment = (
        [sys.executable, "-c", textwrap.dedent(WORK)],
        {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_every_file_with_a_function_of_its_name_is_a_network() -> None:
    helpers = {"__init__", "blocks", "pixels", "task"}
    files = {path.stem for path in (REPOSITORY / "regen_lib/networks").glob("*.py")}
    assert set(NETWORKS) == files - helpers
    assert {"caffenet", "vgg_f", "googlenet", "vgg16", "resnet152"} < set(NETWORKS)  # the paper's


@pytest.mark.parametrize("titles", [TITLES, ATTACK_TITLES])
def test_what_has_no_title_is_called_by_its_name(titles: dict[str, str]) -> None:
    assert titles["lenet"] == "lenet"
    assert "lenet" not in titles
