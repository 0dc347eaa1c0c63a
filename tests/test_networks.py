"""Shapes, published parameter counts, layers against torch's own."""

import pytest
import torch
import torchvision
from torch import nn

from regen_lib.networks import build
from regen_lib.networks.blocks import LocalResponseNorm, Task, initialise, multiply_adds
from regen_lib.study.params import load_params
from regen_lib.weights import place
from regen_lib.weights.tensors import ordered
from tests.conftest import draw
from tests.repository import REPOSITORY

FASHION = Task((1, 28, 28), 10, (73.0,), (90.0,))
IMAGENET = Task((3, 224, 224), 1000, (123.7, 116.8, 103.9), (1.0, 1.0, 1.0))
PROFILE = load_params(REPOSITORY / "params.yaml")


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("name", PROFILE["networks"])
def test_reduced_networks(name: str) -> None:
    network = initialise(build(name, FASHION, **PROFILE["networks"][name]["options"]), torch.Generator().manual_seed(0)).eval()
    outputs = network(torch.randint(0, 256, (3, 1, 28, 28)).float())
    assert outputs.shape == (3, 10)
    assert outputs.isfinite().all()
    assert multiply_adds(network, FASHION) < 5e6
    convolutions = {key for key, module in network.named_modules() if isinstance(module, nn.Conv2d)}
    assert set(PROFILE["units"][name]) <= convolutions
    assert 1 <= len(PROFILE["units"][name]) <= 6


def vgg_f_by_hand() -> int:
    """Five convolutions with biases, 6 x 6 features, three linear layers with biases."""
    convolutions = 64 * (3 * 121 + 1) + 256 * (64 * 25 + 1) + 3 * 256 * (256 * 9 + 1)
    return convolutions + 4096 * (256 * 36 + 1) + 4096 * (4096 + 1) + 1000 * (4096 + 1)


def resnet152_by_hand() -> int:
    """Pre-activation: a norm before each convolution of a block, one after the last block and one after the stem."""
    total, inputs = 64 * 3 * 49 + 2 * 64, 64
    for channels, depth in ((64, 3), (128, 8), (256, 36), (512, 3)):
        for _ in range(depth):
            outputs = 4 * channels
            total += inputs * channels + 9 * channels**2 + channels * outputs + 2 * (inputs + 2 * channels)
            total += inputs * outputs if inputs != outputs else 0
            inputs = outputs
    return total + 2 * inputs + 1000 * (inputs + 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("caffenet", 60_965_224),
        ("googlenet", 6_998_552),
        ("vgg16", 138_357_544),
        ("vgg_f", vgg_f_by_hand()),
        ("resnet152", resnet152_by_hand()),
        ("squeezenet", 1_248_424),
    ],
)
def test_full_size_parameter_counts(name: str, expected: int) -> None:
    with torch.device("meta"):
        assert parameters(build(name, IMAGENET)) == expected


# the form of this study that has torchvision's published weights, and what torchvision calls it
TORCHVISION = {"squeezenet": ("squeezenet1_0", {}), "vgg16": ("vgg16", {}), "googlenet": ("googlenet", {"torchvision": True})}
TORCHVISION |= {"resnet152": ("resnet152", {"pre_activation": False})}


@pytest.mark.parametrize("name", TORCHVISION)
def test_full_size_networks_are_torchvisions(name: str) -> None:
    """With the same weights, the same logits, at a size where padding and ceil-mode pooling show."""
    theirs, options = TORCHVISION[name]
    extra = {"init_weights": False, "transform_input": False, "aux_logits": False} if name == "googlenet" else {}
    reference = torchvision.models.get_model(theirs, weights=None, **extra).eval().requires_grad_(False)
    initialise(reference, torch.Generator().manual_seed(0))  # so that the image still matters at the end
    task = Task((3, 224, 224), 1000, (0.0,) * 3, (1.0,) * 3)
    with torch.device("meta"):
        network = build(name, task, **options)
    network = network.to_empty(device="cpu").eval()
    network.load_state_dict({"normalize.mean": torch.zeros(1, 3, 1, 1), "normalize.std": torch.ones(1, 3, 1, 1)}, strict=False)
    place(network, ordered(reference.state_dict(), network), "test")
    x = draw(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(network(x), reference(x), rtol=1e-4, atol=1e-5)


def test_multiply_adds_by_hand() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 28 * 28, 10))
    assert multiply_adds(network, FASHION) == 28 * 28 * 4 * 9 + 4 * 28 * 28 * 10


@pytest.mark.parametrize(("alpha", "k"), [(1e-4, 1.0), (5e-4, 2.0)])
def test_local_response_norm_is_torchs(alpha: float, k: float) -> None:
    x = draw(2, 12, 5, 5) * 100
    expected = nn.LocalResponseNorm(5, alpha, 0.75, k)(x)
    torch.testing.assert_close(LocalResponseNorm(12, alpha=alpha, k=k)(x), expected)


def test_initialise_reads_no_global_state() -> None:
    weights = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = initialise(build("caffenet", FASHION, width=0.125, stem=(5, 2), hidden=16), torch.Generator().manual_seed(5))
        weights.append([p.clone() for p in network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
