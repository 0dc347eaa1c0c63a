"""The ImageNet profile and imagenet_sample/: positions, dependencies, and, where they are at hand, real images."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from regen_lib.core.images import Images, load_images
from regen_lib.core.inference import top1
from regen_lib.core.surgery import find_conv
from regen_lib.data.decoding import prepare
from regen_lib.networks import build
from regen_lib.networks.blocks import Task
from regen_lib.regeneration.unit import regenerate, units
from regen_lib.study.params import load_params
from regen_lib.weights import load_weights
from tests.repository import REPOSITORY

SAMPLE = REPOSITORY.parent / "shared/imagenet_sample"
TASK = Task((3, 224, 224), 1000, (123.0, 117.0, 104.0), (1.0, 1.0, 1.0))

# the authors' deploy files: channels of the convolutions that they protect (all of VGG-16's are pruned there, so not its)
CHANNELS = {
    "caffenet": {"conv1": 96, "conv2": 256, "conv3": 384, "conv4": 384, "conv5": 256},
    "vgg_f": {"conv1": 64, "conv2": 256, "conv3": 256, "conv4": 256, "conv5": 256},
    "googlenet": {"conv1.conv": 64, "conv2.conv": 192, "inception3a.b3x3.conv": 128, "inception3a.b5x5.conv": 32}
    | {"inception4a.b3x3.conv": 208, "inception5a.b3x3.conv": 320},
    "resnet152": {"conv1": 64, "block1.conv2": 64, "block4.conv2": 128, "block12.conv2": 256, "block24.conv2": 256, "block48.conv2": 512},
}


@pytest.mark.parametrize("name", load_params(REPOSITORY / "studies/imagenet/params.yaml")["study"]["networks"])
def test_positions_of_the_profile(name: str) -> None:
    params = load_params(REPOSITORY / "studies/imagenet/params.yaml")
    with torch.device("meta"):
        network = build(name, TASK, **params["networks"][name]["options"])
    found = {layer: find_conv(network, layer).out_channels for layer in params["units"][name]}
    assert 1 <= len(found) <= 6
    if name in CHANNELS:
        assert found == CHANNELS[name]
    else:
        assert list(found) == ["conv1_1", "conv1_2", "conv2_1", "conv3_1", "conv4_1", "conv5_1"]


# (C -> N, D) in the authors' deploy files, and the weights of all units as counted there, in millions, BN's scales and shifts included
RELEASED = {"caffenet": 1.488, "vgg_f": 1.197, "googlenet": 0.567, "resnet152": 2.421}


@pytest.mark.parametrize("name", RELEASED)
def test_the_release_has_the_authors_count_of_weights(name: str) -> None:
    params = load_params(REPOSITORY / "studies/imagenet/params.yaml")
    places = params["positions"]["release"][name]
    assert len(places) == {"googlenet": 14, "resnet152": 7}.get(name, 5)
    network = build(name, TASK, **{**params["networks"][name]["options"], **({"torchvision": False} if name == "googlenet" else {})})
    defended = regenerate(network, places, ratio=0.5, generator=torch.Generator().manual_seed(0))
    weights = sum(p.numel() for unit in units(defended).values() for p in unit.parameters())
    assert weights / 1e6 == pytest.approx(RELEASED[name], abs=0.001)


def test_the_profile_takes_the_papers_positions() -> None:
    params = load_params(REPOSITORY / "studies/imagenet/params.yaml")
    assert params["units"] == params["positions"]["paper"]


@pytest.fixture(scope="module")
def squeezenet() -> nn.Module:
    network = build("squeezenet", TASK)
    load_weights(network, str(SAMPLE / "squeezenet1_0.safetensors"))
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="needs the sample of ImageNet images beside the repository")
def test_real_images(tmp_path: Path, squeezenet: nn.Module) -> None:
    """Decoding, class order, weights and preprocessing together: top-1 of every second image is that of the published network."""
    target = tmp_path / "images.safetensors"
    trees = dict.fromkeys(("train", "validation", "test"), "images")
    names = prepare(SAMPLE, target, validation=250, seed=0, trees=trees, counts={"train": 500, "test": None}, classes="classes.json")
    assert names == tuple(name for _, name in json.loads((SAMPLE / "classes.json").read_text()))
    splits = load_images(target)
    assert [len(splits[name]) for name in ("train", "validation", "test")] == [500, 250, 250]
    test = Images(splits["train"].pixels[:300], splits["train"].labels[:300])
    assert top1(squeezenet, test) >= 0.55  # 0.61 on all; three standard errors of 300 images are 0.08
