"""Networks that this library did not build: six families of torchvision, small, with random weights, through everything it offers."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

import regen_lib as rl
from regen_lib.core.storage import weights_hash
from tests.conftest import rng
from tests.small_attacks import OPTIONS

CLASSES = 5
SHAPE = (3, 64, 64)
THREAT = rl.Threat(norm=torch.inf, xi=60.0, target=1.0)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def transformer() -> nn.Module:
    """torchvision starts a transformer's head from zeros: all logits are equal, and no gradient reaches the image."""
    model = models.VisionTransformer(64, 16, 2, 2, 32, 64, num_classes=CLASSES)
    nn.init.normal_(model.heads.head.weight)
    return model


KINDS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": lambda: models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=CLASSES),
    "mobilenet_v3_small": lambda: models.mobilenet_v3_small(num_classes=CLASSES),
    "densenet121": lambda: models.DenseNet(8, (2, 2, 2, 2), 16, num_classes=CLASSES),
    "convnext_tiny": lambda: models.ConvNeXt(
        [models.convnext.CNBlockConfig(16, 32, 1), models.convnext.CNBlockConfig(32, None, 1)], num_classes=CLASSES
    ),
    "shufflenet_v2_x0_5": lambda: models.shufflenet_v2_x0_5(num_classes=CLASSES),
    "vit_b_16": transformer,
}
LAYERS = {  # two convolutions of each, where it has two
    "resnet18": ["conv1", "layer1.0.conv1"],
    "mobilenet_v3_small": ["features.0.0", "features.1.block.0.0"],
    "densenet121": ["features.conv0", "features.denseblock1.denselayer1.conv1"],
    "convnext_tiny": ["features.0.0", "features.1.0.block.0"],
    "shufflenet_v2_x0_5": ["conv1.0", "stage2.0.branch2.0"],
    "vit_b_16": ["conv_proj"],
}


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.randint(0, 256, (8, *SHAPE), generator=rng(3), dtype=torch.uint8)


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def network(kind: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return rl.from_pixels(KINDS[kind](), MEAN, STD)


@pytest.fixture(scope="module")
def images(network: nn.Module, pixels: Tensor) -> rl.Images:
    """With the network's own classes for labels, so that it classifies all of them correctly."""
    return rl.Images(pixels, rl.predict(network, pixels))


def named(kind: str) -> list[str]:
    return [f"network.{layer}" for layer in LAYERS[kind]]


@pytest.mark.parametrize("attack", OPTIONS)
def test_every_attack_gives_a_bank(attack: str, kind: str, network: nn.Module, pixels: Tensor, tmp_path: Path) -> None:
    before = weights_hash(network)
    bank = getattr(rl, attack)(network, pixels, THREAT, seed=0, count=2, **OPTIONS[attack])
    assert bank.perturbations.shape == (2, *SHAPE)
    assert 0 < float(bank.perturbations.abs().amax((1, 2, 3)).min()) <= float(bank.perturbations.abs().max()) <= 60 * (1 + 1e-5)
    assert bank.network == type(network.network).__name__
    assert weights_hash(network) == before
    rl.save_bank(tmp_path / "bank.safetensors", bank)
    assert rl.load_bank(tmp_path / "bank.safetensors", network=network, shape=SHAPE).perturbations.equal(bank.perturbations)


def test_units_train_save_and_load(kind: str, network: nn.Module, images: rl.Images, tmp_path: Path) -> None:
    before, layers = weights_hash(network), named(kind)
    bank = rl.random_signs(network, images.pixels, THREAT, seed=0, count=2)
    recipe = rl.Recipe(epochs=1, rate=0.01, batch=4)
    defended = rl.train_units(network, images, bank, layers, recipe=recipe, synthetic=8)
    assert set(rl.units(defended)) == set(layers)
    assert weights_hash(network) == before
    assert any(float(unit.conv4.weight.abs().max()) > 0 for unit in rl.units(defended).values())  # they started at zero
    rl.save_units(tmp_path / "units.safetensors", defended, network=network, layers=layers, ratio=0.5, width=1.0)
    again = rl.load_units(tmp_path / "units.safetensors", network)
    x = images.pixels.float()
    assert again(x).equal(defended(x))
    table = rl.evaluate({"undefended": network, "units": again}, images, {"signs": bank})
    assert list(table.network) == ["undefended", "units"]
    assert table.clean_accuracy[0] == 1
    assert table.restoration[0] == pytest.approx((1 + table.accuracy[0]) / 2)


def test_masking_every_filter_of_the_first_layer_undoes_the_noise(kind: str, network: nn.Module, images: rl.Images) -> None:
    """Where nothing goes past the first convolution, as in all of these."""
    layer = named(kind)[0]
    conv = network.get_submodule(layer)
    norms = rl.filter_norms(conv)
    assert norms[rl.rank(conv)].equal(norms.sort(descending=True).values)
    v, first = torch.randn(1, *SHAPE, generator=rng(4)) * 80, torch.zeros(len(images), dtype=torch.long)
    clean = rl.predict(network, images.pixels)
    assert rl.masked_predictions(network, layer, rl.rank(conv), images.pixels, v, first).equal(clean)
    nothing = torch.empty(0, dtype=torch.long)
    assert rl.masked_predictions(network, layer, nothing, images.pixels, v, first).equal(rl.predict(network, images.pixels, v, first))


def test_a_defence_that_finds_no_place_says_so(kind: str, network: nn.Module, images: rl.Images) -> None:
    bank = rl.random_signs(network, images.pixels, THREAT, seed=0, count=2)
    with pytest.raises(rl.StudyError, match=r"is a Sequential: blocks go between .* and here are none"):
        rl.defend("feature_denoising", network, images, bank, recipe=rl.Recipe(epochs=1, rate=0.01, batch=4), epsilon=4.0)
