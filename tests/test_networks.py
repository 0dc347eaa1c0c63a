"""Shapes, published parameter counts, layers against torch's own."""

import pytest
import torch
from torch import nn
from torchvision.models import vgg16 as torchvision_vgg16

from regen_lib.networks import NETWORKS, build
from regen_lib.networks.blocks import LocalResponseNorm, Task, initialise, multiply_adds
from regen_lib.params import load_params
from tests.closure import REPOSITORY
from tests.conftest import draw

FASHION = Task((1, 28, 28), 10, (73.0,), (90.0,))
IMAGENET = Task((3, 224, 224), 1000, (123.7, 116.8, 103.9), (1.0, 1.0, 1.0))
PROFILE = load_params(REPOSITORY / "profiles/laptop.yaml")


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_reduced_networks(name: str) -> None:
    network = initialise(build(name, FASHION, **PROFILE["networks"][name]["options"]), torch.Generator().manual_seed(0)).eval()
    outputs = network(torch.randint(0, 256, (3, 1, 28, 28)).float())
    assert outputs.shape == (3, 10)
    assert outputs.isfinite().all()
    assert multiply_adds(network, FASHION) < 5e6
    convolutions = {key for key, module in network.named_modules() if isinstance(module, nn.Conv2d)}
    assert set(PROFILE["units"][name]) <= convolutions
    assert 1 <= len(PROFILE["units"][name]) <= 6


@pytest.mark.parametrize(
    ("name", "published"), [("caffenet", 60_965_224), ("vgg_f", 60_824_256), ("googlenet", 6_998_552), ("resnet152", None), ("vgg16", None)]
)
def test_full_size_parameter_counts(name: str, published: int | None) -> None:
    with torch.device("meta"):
        if published is None and name == "vgg16":
            published = parameters(torchvision_vgg16())
        network = build_on_meta(name)
    if name == "resnet152":  # torchvision's 60,192,808 is post-activation; pre-activation moves the norms: counted by hand below
        assert abs(parameters(network) - 60_192_808) < 60_000
    elif name != "vgg_f":
        assert parameters(network) == published


def build_on_meta(name: str) -> nn.Module:
    return build(name, IMAGENET)


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
