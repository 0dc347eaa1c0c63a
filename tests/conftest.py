"""What several tests need: a linear network with a known answer, a tiny convolutional one, tiny images."""

import math
import os
import signal
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

os.environ["TRITON_INTERPRET"] = "0" if torch.cuda.is_available() else "1"  # triton.jit asks when it decorates

from regen_lib.attacks.random_signs import random_signs
from regen_lib.core import devices
from regen_lib.core.images import Images
from regen_lib.core.perturbations import Threat
from regen_lib.core.runtime import start
from regen_lib.defenses._shared.base import TrainingData
from regen_lib.networks import build
from regen_lib.networks.blocks import Task, initialise
from regen_lib.study.surroundings import do_without_git
from tests.repository import REPOSITORY
from tests.suite import Known, build_study

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun in a shell's background: what tests start would not hear Ctrl-C either
    signal.signal(signal.SIGINT, signal.default_int_handler)
do_without_git(REPOSITORY)  # before tests are collected: they are of the stages that DVC knows

TASK = Task((1, 12, 12), 4, (100.0,), (60.0,))


@pytest.fixture(scope="session", autouse=True)
def _settings() -> None:
    with pytest.MonkeyPatch.context() as patch:  # tests make their tensors on the CPU, on a machine with a GPU too
        patch.setattr(devices, "best", lambda: torch.device("cpu"))
        start(1)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def linear_network(weight: Tensor, bias: Tensor, shape: tuple[int, ...]) -> nn.Sequential:
    """Logits ``W x + b`` of flattened pixels."""
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return nn.Sequential(nn.Flatten(), layer).eval().requires_grad_(False)


@pytest.fixture
def images() -> Images:
    """48 random images of 4 classes."""
    return Images(torch.randint(0, 256, (48, *TASK.shape), generator=rng(3), dtype=torch.uint8), torch.arange(48) % 4)


@pytest.fixture
def network() -> nn.Module:
    """A tiny VGG-16 with running statistics that are not the initial ones."""
    model = initialise(build("vgg16", TASK, width=0.07, stem=1, hidden=None, batch_norm=True), torch.Generator().manual_seed(1))
    model.train()
    with torch.no_grad():
        for seed in range(3):
            model(draw(16, *TASK.shape, seed=seed) * 60 + 100)
    return model.eval().requires_grad_(False)


@pytest.fixture
def linear(images: Images) -> Callable[..., nn.Sequential]:
    """Builds a linear classifier of the images' shape with ``classes`` outputs."""

    def make(classes: int = 4, seed: int = 5, shape: tuple[int, ...] = TASK.shape) -> nn.Sequential:
        size = int(torch.tensor(shape).prod())
        return linear_network(draw(classes, size, seed=seed), draw(classes, seed=seed + 1) * 100, shape)

    return make


@pytest.fixture
def smooth() -> nn.Module:
    """A two-layer tanh network: rounding does not change which way its gradients point."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(144, 24), nn.Tanh(), nn.Linear(24, 4))
    first = {"1.weight": draw(24, 144, seed=11) * 1e-3, "1.bias": draw(24, seed=12)}
    model.load_state_dict({**first, "3.weight": draw(4, 24, seed=13), "3.bias": torch.zeros(4)})
    return model.eval().requires_grad_(False)


@pytest.fixture
def training_data(network: nn.Module, images: Images) -> TrainingData:
    """What a rival defence may learn from."""
    bank = random_signs(network, images.pixels, Threat(math.inf, 60.0, 1.0), seed=0, count=3)
    return TrainingData(images, bank, ("conv1_1", "conv2_1"))


@pytest.fixture(scope="session")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    """A suite of two tiny networks with banks and units made by hand."""
    return build_study(tmp_path_factory.mktemp("study"))
