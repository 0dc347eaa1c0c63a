"""The rival defences against closed forms, other libraries and brute force."""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import dctn, idctn
from skimage.restoration import denoise_wavelet
from torch import Tensor, nn

from regen_lib import defenses
from regen_lib.artifacts import read_tensors, weights_hash
from regen_lib.attacks.random_signs import random_signs
from regen_lib.banks import Threat
from regen_lib.defenses.adversarial import Retrained, mixed_loss, perturbation
from regen_lib.defenses.base import Defended, Material, save_defense
from regen_lib.defenses.democratic_training import entropy, features, low_entropy
from regen_lib.defenses.feature_denoising import NonLocal, feature_denoising
from regen_lib.defenses.feature_distillation import feature_distillation
from regen_lib.defenses.feature_norm_clipping import Clipped
from regen_lib.defenses.hgd import hgd, loss
from regen_lib.defenses.jpeg import jpeg
from regen_lib.defenses.pixel_deflection import bayes_shrink, deflect, denoise, robust_map
from regen_lib.defenses.prn_det import DetectingPRN
from regen_lib.defenses.prn_det import features as log_dct
from regen_lib.defenses.universal_adversarial_training import Universal
from regen_lib.errors import StudyError
from regen_lib.images import Images
from regen_lib.training import Noise
from tests.conftest import draw, linear_network

WIDE = Threat(math.inf, 60.0, 1.0)
RECIPE = {"epochs": 2, "rate": 2e-3, "batch": 8, "optimizer": "adamw", "schedule": "cycle"}
SPECS: dict[str, dict[str, Any]] = {
    "prn": {"options": {"maps": 4, "blocks": 1}, "recipe": RECIPE},
    "prn_det": {"options": {"maps": 4, "blocks": 1}, "training": {"images": 40}, "recipe": RECIPE},
    "hgd": {"options": {"width": 4}, "recipe": RECIPE},
    "pixel_deflection": {"options": {"deflections": 20, "window": 3}},
    "jpeg": {"options": {"quality": 30}},
    "feature_distillation": {},
    "feature_norm_clipping": {"options": {"alpha": 0.8}, "recipe": None},
    "adversarial_training": {"training": {"epsilon": 8, "steps": 2}, "recipe": RECIPE},
    "feature_denoising": {"training": {"epsilon": 8, "steps": 2}, "recipe": RECIPE},
    "shared_adversarial_training": {"training": {"epsilon": 8, "heap": 4}, "recipe": RECIPE},
    "universal_adversarial_training": {"training": {"epsilon": 8}, "recipe": RECIPE},
    "democratic_training": {"training": {"epsilon": 8}, "recipe": RECIPE},
}
TRANSFORMS = ("jpeg", "feature_distillation", "pixel_deflection")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def material(network: nn.Module, images: Images) -> Material:
    return Material(images, random_signs(network, images.pixels, WIDE, seed=0, count=3), ("conv1_1", "conv2_1"))


def test_every_rival_has_a_row_here() -> None:
    assert sorted(SPECS) == sorted(defenses.RIVALS)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_a_defence_is_made_kept_and_found_again(tmp_path: Path, network: nn.Module, images: Images, material: Material, name: str) -> None:
    frozen, x = weights_hash(network), images.pixels[:6].float()
    before = network(x)
    defended, options = defenses.make(name, network, SPECS[name], material, seed=0)
    assert weights_hash(network) == frozen
    assert not defended.training
    assert not any(parameter.requires_grad for parameter in defended.parameters())
    path = tmp_path / "defenses" / name / "vgg16.safetensors"
    save_defense(path, name, defended, options)
    again, _ = defenses.make(name, network, SPECS[name], material, seed=0)
    save_defense(tmp_path / "again.safetensors", name, again, options)
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    assert not any(key.startswith("network.") for key in read_tensors(path, "defense")[0])  # the frozen network is kept once
    loaded = defenses.build(name, network, tmp_path, "vgg16")
    assert torch.equal(loaded(x), again(x))
    assert torch.equal(network(x), before)
    with torch.no_grad():
        network.conv1_1.weight += 1e-3
    with pytest.raises(StudyError, match="for other weights"):
        defenses.build(name, network, tmp_path, "vgg16")
    path.rename(tmp_path / "defenses" / name / "other.safetensors")
    with pytest.raises(StudyError, match="is missing"):
        defenses.build(name, network, tmp_path, "vgg16")


def test_unknown_defences_and_settings(network: nn.Module, material: Material) -> None:
    with pytest.raises(StudyError, match="choose one of adversarial_training, democratic_training"):
        defenses.find("base")
    with pytest.raises(StudyError, match="choose one of gaussian, dot"):
        feature_denoising(network, shape=(1, 12, 12), kind="median")
    with pytest.raises(StudyError, match="choose one of logits, features"):
        defenses.make("hgd", network, {**SPECS["hgd"], "training": {"guide": "pixels"}}, material, seed=0)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_gradients_pass_straight_through(network: nn.Module, images: Images, material: Material, name: str) -> None:
    """BPDA: the gradient at x is that of the network at the transformed image."""
    defended, _ = defenses.make(name, network, SPECS[name], material, seed=0)
    x = images.pixels[:4].float().requires_grad_()
    state = defended.rng.get_state() if name == "pixel_deflection" else None
    (slope,) = torch.autograd.grad(defended(x).square().sum(), x)
    if state is not None:
        defended.rng.set_state(state)
    changed = defended.transform(x).detach().requires_grad_()
    (expected,) = torch.autograd.grad(network(changed).square().sum(), changed)
    assert not torch.equal(changed, x)
    torch.testing.assert_close(slope, expected)
    assert bool(slope.isfinite().all())
    assert float(slope.abs().max()) > 0


def test_jpeg_is_pillows(network: nn.Module, images: Images) -> None:
    found = jpeg(network, quality=40).transform(images.pixels[:5].float())
    for image, ours in zip(images.pixels[:5], found, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image[0].numpy()).save(buffer, "JPEG", quality=40)
        expected = torch.from_numpy(np.array(Image.open(buffer)).astype(np.float32))
        assert float((ours[0] - expected).abs().max()) <= 2  # two decoders may round apart


@pytest.mark.parametrize("size", [16, 12])
def test_feature_distillation_is_scipys_dct(network: nn.Module, size: int) -> None:
    x = draw(2, 1, size, size).mul(60).add(128).clamp(0, 255)
    found = feature_distillation(network, low=20, high=50).transform(x)
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (0, -size % 8), (0, -size % 8)), mode="edge")
    table = np.full((8, 8), 50.0)
    table[:4, :4] = 20
    for row in range(0, padded.shape[2], 8):
        for column in range(0, padded.shape[3], 8):
            block = padded[:, :, row : row + 8, column : column + 8]
            coefficients = np.round(dctn(block, axes=(2, 3), norm="ortho") / table) * table
            padded[:, :, row : row + 8, column : column + 8] = idctn(coefficients, axes=(2, 3), norm="ortho")
    torch.testing.assert_close(found, torch.from_numpy(padded[:, :, :size, :size]).clamp(0, 255), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("size", [16, 32, 40])
def test_wavelets_are_scikit_images(size: int) -> None:
    x = draw(3, 1, size, size).mul(50).add(128).clamp(0, 255)
    found = denoise(x, 0.1 * 255)
    for image, ours in zip(x.numpy(), found, strict=True):
        options = {"sigma": 0.1, "mode": "soft", "method": "BayesShrink", "wavelet": "db1", "rescale_sigma": False}
        torch.testing.assert_close(
            ours[0], torch.from_numpy(denoise_wavelet(image[0] / 255, **options) * 255).float(), rtol=1e-3, atol=0.05
        )


def test_bayes_shrink_by_hand() -> None:
    band = np.array([[[[3.0, -1.0]]]])  # mean square 5, sigma 2: threshold 4 / sqrt(1) = 4
    assert bayes_shrink(band, 2.0).tolist() == [[[[0.0, 0.0]]]]
    assert bayes_shrink(band, 1.0).tolist() == pytest.approx(np.array([[[[2.5, -0.5]]]]))  # 1 / sqrt(4) = 0.5


def test_deflected_values_come_from_the_window() -> None:
    """Every pixel's value is its own place, so a changed one says where it came from."""
    x = torch.arange(400.0).view(1, 1, 20, 20)
    moved = deflect(x, torch.zeros(1, 20, 20), 50, 3, rng())
    changed = (moved != x).nonzero()[:, 2:]
    assert 25 < len(changed) <= 50
    for row, column in changed.tolist():
        source = int(moved[0, 0, row, column])
        assert max(abs(source // 20 - row), abs(source % 20 - column)) <= 3
    assert torch.equal(deflect(x, torch.ones(1, 20, 20), 50, 3, rng()), x)  # what the network looks at stays
    assert not torch.equal(deflect(x, torch.zeros(1, 20, 20), 50, 3, rng(1)), moved)


def test_robust_map_is_the_class_activation_map_of_a_pooling_network() -> None:
    """With one convolution, global pooling and a linear layer, Grad-CAM is CAM: the classifier's weights over the maps."""
    conv, head = nn.Conv2d(1, 3, 3, padding=1, bias=False), nn.Linear(3, 2, bias=False)
    conv.weight.data, head.weight.data = draw(3, 1, 3, 3), draw(2, 3, seed=1)
    network = nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).requires_grad_(False)
    x = draw(4, 1, 6, 6, seed=2)
    found = robust_map(network, x)
    order = network(x).argsort(1, descending=True)
    weights = (head.weight[order] * torch.tensor([0.5, 0.25]).view(1, 2, 1)).sum(1)
    expected = torch.einsum("nc,nchw->nhw", weights, conv(x)).relu()
    expected = expected - expected.amin((1, 2), keepdim=True)
    torch.testing.assert_close(found, expected / expected.amax((1, 2), keepdim=True).clamp_min(1e-12), rtol=1e-4, atol=1e-5)


def test_clipped_norms_by_hand() -> None:
    conv = nn.Conv2d(2, 2, 1, bias=False)
    conv.weight.data = torch.eye(2).view(2, 2, 1, 1)
    clipped = Clipped(conv, 2.0)
    x = torch.tensor([3.0, 0.0, 4.0, 0.5]).view(1, 2, 1, 2)  # norms 5 and 0.5
    assert torch.equal(clipped(x), x)  # not calibrated: nothing is unusual
    clipped.usual.fill_(0.5)
    torch.testing.assert_close(clipped(x), torch.tensor([0.6, 0.0, 0.8, 0.5]).view(1, 2, 1, 2))


def test_usual_norms_are_those_of_clean_images(network: nn.Module, images: Images, material: Material) -> None:
    defended, _ = defenses.make("feature_norm_clipping", network, {"options": {"alpha": 100.0}}, material, seed=0)
    x = images.pixels.float()
    normal = network.normalize(x) if hasattr(network, "normalize") else x
    first = float(network.conv1_1(normal).norm(dim=1).mean())
    assert float(defended.clipped.conv1_1.usual) == pytest.approx(first, rel=1e-4)
    torch.testing.assert_close(defended(x), network(x))  # at a hundred times the usual nothing is clipped


def test_detector_features_by_hand() -> None:
    x, rectified = draw(3, 1, 4, 4) * 20, draw(3, 1, 4, 4, seed=1) * 20
    expected = np.log(np.abs([dctn((a - b)[0].numpy(), norm="ortho") for a, b in zip(x, rectified, strict=True)]) + 1e-3)
    np.testing.assert_allclose(log_dct(x, rectified), expected.reshape(3, 16), rtol=1e-3, atol=1e-3)
    colour = draw(2, 3, 4, 4)
    grey = 0.299 * colour[:, :1] + 0.587 * colour[:, 1:2] + 0.114 * colour[:, 2:]
    np.testing.assert_allclose(log_dct(colour, colour * 0), log_dct(grey, grey * 0), rtol=1e-3, atol=1e-3)


def test_only_detected_images_are_rectified(network: nn.Module, images: Images, material: Material) -> None:
    defended, _ = defenses.make("prn_det", network, SPECS["prn_det"], material, seed=0)
    assert isinstance(defended, DetectingPRN)
    alone, _ = defenses.make("prn", network, SPECS["prn"], material, seed=0)
    weights = {key: tensor for key, tensor in defended.state_dict().items() if key.startswith("rectifier.")}
    assert all(torch.equal(tensor, alone.state_dict()[key]) for key, tensor in weights.items())  # trained as without a detector
    x = images.pixels.float()
    v = material.bank.perturbations[torch.arange(len(x)) % 3]
    assert float(defended.perturbed(x).float().mean()) <= 0.15  # 5 % alarms on ten held-out images
    assert float(defended.perturbed(x + v).float().mean()) > 0.9
    for batch in (x, x + v):
        rectified, seen = super(DetectingPRN, defended).transform(batch), defended.transform(batch)
        for one, flag in enumerate(defended.perturbed(batch)):
            assert torch.equal(seen[one], (rectified if flag else batch)[one])


def test_hgd_starts_as_the_network_and_learns_its_logits(network: nn.Module, images: Images, material: Material) -> None:
    x, noise = images.pixels.float(), Noise(material.bank.perturbations, 1.0)
    fresh = hgd(network, channels=1, width=4)
    nn.init.zeros_(fresh.denoiser.last.weight)
    nn.init.zeros_(fresh.denoiser.last.bias)
    torch.testing.assert_close(fresh.eval()(x), network(x))
    by_hand = (network(noise(x, rng(3))) - network(x)).abs().mean()
    assert float(loss(fresh, noise, "logits", x, torch.zeros(0), rng(3))) == pytest.approx(float(by_hand), rel=1e-4)
    long = {**SPECS["hgd"], "recipe": {**RECIPE, "epochs": 30}, "training": {"probability": 1.0}}
    trained, _ = defenses.make("hgd", network, long, material, seed=0)
    assert float(loss(trained, noise, "logits", x, torch.zeros(0), rng(3))) < 0.8 * float(by_hand)


def test_prn_learns_the_clean_prediction(network: nn.Module, images: Images, material: Material) -> None:
    """The labels are not its business: with all labels wrong it still brings the network's own prediction back."""
    wrong = Material(Images(images.pixels, (network(images.pixels.float()).argmax(1) + 1) % 4), material.bank, material.layers)
    spec = {"options": {"maps": 8, "blocks": 1}, "recipe": {**RECIPE, "epochs": 60, "rate": 5e-3}}
    defended, _ = defenses.make("prn", network, spec, wrong, seed=0)
    x = images.pixels.float()
    assert float((defended(x).argmax(1) == network(x).argmax(1)).float().mean()) > 0.7


def test_a_heap_of_one_is_pgd(smooth: nn.Module, images: Images) -> None:
    x, y = images.pixels[:5].float(), images.labels[:5]
    found = perturbation(smooth, x, y, rng(4), epsilon=10.0, steps=3, heap=1)
    start = (torch.rand(x.shape, generator=rng(4)) * 2 - 1) * 10
    for one in range(5):
        v = start[one : one + 1]
        for _ in range(3):
            leaf = v.clone().requires_grad_()
            (slope,) = torch.autograd.grad(nn.functional.cross_entropy(smooth(x[one : one + 1] + leaf), y[one : one + 1]), leaf)
            v = (v + 2.5 * 10 / 3 * slope.sign()).clamp(-10, 10)
        torch.testing.assert_close(found[one : one + 1], v)


def test_a_heap_of_the_batch_is_one_universal_perturbation(smooth: nn.Module, images: Images) -> None:
    x, y = images.pixels[:6].float(), images.labels[:6]
    found = perturbation(smooth, x, y, rng(4), epsilon=10.0, steps=2, heap=6)
    v = (torch.rand(1, 1, 12, 12, generator=rng(4)) * 2 - 1) * 10
    for _ in range(2):
        leaf = v.clone().requires_grad_()
        losses = nn.functional.cross_entropy(smooth(x + leaf), y, reduction="none").clamp_max(9.0)
        v = (v + 12.5 * torch.autograd.grad(losses.sum(), leaf)[0].sign()).clamp(-10, 10)
    assert torch.equal(found, found[:1].expand_as(found))
    torch.testing.assert_close(found[:1], v)
    pairs = perturbation(smooth, x, y, rng(4), epsilon=10.0, steps=2, heap=4)  # a last, smaller heap
    assert torch.equal(pairs[0], pairs[3])
    assert torch.equal(pairs[4], pairs[5])
    assert not torch.equal(pairs[3], pairs[4])


def test_adversarial_loss_mixes_both(network: nn.Module, images: Images) -> None:
    x, y = images.pixels[:8].float(), images.labels[:8]
    defended, v = Retrained(network), draw(8, 1, 12, 12) * 20
    defended.model.requires_grad_(True)
    found = mixed_loss(defended, lambda *_: v, 0.25, x, y, rng())
    defended.model.train()
    logits = defended.model(torch.cat([x + v, x]))
    expected = 0.25 * nn.functional.cross_entropy(logits[:8], y) + 0.75 * nn.functional.cross_entropy(logits[8:], y)
    assert float(found) == pytest.approx(float(expected), rel=1e-4)
    found.backward()
    assert all(p.grad is not None for p in defended.model.parameters())
    assert all(p.grad is None for p in network.parameters())


def test_the_universal_perturbation_grows_step_by_step() -> None:
    w = draw(16, seed=9)
    network = linear_network(torch.stack([w, -w]) * 1e-3, torch.zeros(2), (1, 4, 4))
    universal, x, y = Universal(10.0, 0.25), torch.full((8, 1, 4, 4), 100.0), torch.zeros(8, dtype=torch.long)
    for times in (2.5, 5.0, 7.5, 10.0, 10.0):
        v = universal(network, x, y, rng())
        torch.testing.assert_close(v.flatten(), -times * w.sign())  # the loss of class 0 grows against w


def test_entropy_and_its_descent(network: nn.Module, images: Images) -> None:
    assert float(entropy(torch.zeros(1, 8))[0]) == pytest.approx(math.log(8))
    logits = torch.tensor([[0.0, math.log(3.0)]])
    assert float(entropy(logits)[0]) == pytest.approx(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))
    x = images.pixels[:8].float()
    start = (torch.rand(x.shape, generator=rng()) * 2 - 1) * 20
    v = low_entropy(network, x, images.labels[:8], rng(), epsilon=20.0, steps=6)
    assert float(v.abs().max()) <= 20
    assert float(entropy(features(network, x + v)).mean()) < float(entropy(features(network, x + start)).mean())


@pytest.mark.parametrize("kind", ["gaussian", "dot"])
def test_non_local_means_in_two_lines(kind: str) -> None:
    block, x = NonLocal(6, kind).eval(), draw(2, 6, 3, 4)
    nn.init.ones_(block.norm.weight)
    with torch.no_grad():
        flat: Tensor = x.flatten(2)
        if kind == "gaussian":
            theta, phi = (torch.einsum("oc,nci->noi", conv.weight[:, :, 0, 0], flat) for conv in (block.theta, block.phi))
            weights = torch.einsum("nci,ncj->nij", theta, phi).div(math.sqrt(3)).softmax(-1)
        else:
            weights = torch.einsum("nci,ncj->nij", flat, flat) / 12
        mixed = torch.einsum("oc,nci->noi", block.mix.weight[:, :, 0, 0], torch.einsum("nij,ncj->nci", weights, flat))
        torch.testing.assert_close(block(x), x + mixed.view_as(x) / math.sqrt(1 + 1e-5), rtol=1e-4, atol=1e-5)


def test_denoising_blocks_start_as_nothing(network: nn.Module, images: Images) -> None:
    x = images.pixels[:4].float()
    defended = feature_denoising(network, shape=(1, 12, 12))
    blocks = [module for module in defended.modules() if isinstance(module, NonLocal)]
    assert len(blocks) >= 2
    torch.testing.assert_close(defended.eval()(x), network(x))


def test_own_is_what_is_trained(network: nn.Module, material: Material) -> None:
    counts = {name: defenses.make(name, network, SPECS[name], material, seed=0)[0].trained() for name in (*TRANSFORMS, "hgd")}
    whole = sum(p.numel() for p in network.parameters())
    retrained = Retrained(network)
    assert [counts[name] for name in TRANSFORMS] == [0, 0, 0]
    assert isinstance(retrained, Defended)
    assert retrained.trained() == whole
    assert 0 < counts["hgd"] != whole
