"""Transforms of the input and of features, and PRN's detector, against closed forms and other libraries."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from scipy.fft import dctn, idctn
from skimage.restoration import denoise_wavelet
from torch import nn

from regen_lib import defenses
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.defenses._shared.base import TrainingData
from regen_lib.defenses.clamp import clamp
from regen_lib.defenses.dead_zone import dead_zone
from regen_lib.defenses.feature_distillation import feature_distillation
from regen_lib.defenses.feature_norm_clipping import Clipped
from regen_lib.defenses.gaussian_blur import gaussian_blur
from regen_lib.defenses.jpeg import jpeg
from regen_lib.defenses.median_filter import median_filter
from regen_lib.defenses.pixel_deflection import bayes_shrink, deflect, denoise, robust_map
from regen_lib.defenses.prn_det import DetectingPRN
from regen_lib.defenses.prn_det import features as log_dct
from tests.conftest import draw, rng
from tests.test_defenses import made


def test_the_rules_are_scipys_and_numpys(network: nn.Module) -> None:
    x = draw(3, 1, 9, 12).mul(90).add(100)
    numbers = x.numpy()
    torch.testing.assert_close(dead_zone(network, threshold=61).transform(x), torch.from_numpy(numbers * (numbers >= 61)))
    torch.testing.assert_close(clamp(network).transform(x), torch.from_numpy(np.clip(numbers, 0, 255)))
    medians = ndimage.median_filter(numbers, size=(1, 1, 3, 3), mode="mirror")
    torch.testing.assert_close(median_filter(network).transform(x), torch.from_numpy(medians))
    blurred = ndimage.gaussian_filter(numbers, sigma=(0, 0, 1.5, 1.5), mode="mirror", truncate=2.0)
    torch.testing.assert_close(gaussian_blur(network, sigma=1.5).transform(x), torch.from_numpy(blurred), rtol=1e-4, atol=1e-3)
    with pytest.raises(StudyError, match="window is 4: give an odd number"):
        median_filter(network, window=4)


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
    far = []
    for row, column in changed.tolist():
        source = int(moved[0, 0, row, column])
        far.append(max(abs(source // 20 - row), abs(source % 20 - column)))
    assert max(far) == 3
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


def test_usual_norms_are_those_of_clean_images(network: nn.Module, images: Images, training_data: TrainingData) -> None:
    defended = defenses.make("feature_norm_clipping", network, {"options": {"alpha": 100.0}}, training_data, seed=0)
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


def test_only_detected_images_are_rectified(network: nn.Module, images: Images, training_data: TrainingData) -> None:
    alone = made("prn", network, training_data)
    defended = made("prn_det", network, training_data)
    assert isinstance(defended, DetectingPRN)
    weights = {key: tensor for key, tensor in defended.state_dict().items() if key.startswith("rectifier.")}
    assert weights
    assert all(torch.equal(tensor, alone.state_dict()[key]) for key, tensor in weights.items())
    x = images.pixels.float()
    v = training_data.bank.perturbations[torch.arange(len(x)) % 3]
    assert float(defended.perturbed(x).float().mean()) <= 0.15  # 5 % alarms on ten held-out images
    assert float(defended.perturbed(x + v).float().mean()) > 0.9
    for batch in (x, x + v):
        rectified, seen = super(DetectingPRN, defended).transform(batch), defended.transform(batch)
        for one, flag in enumerate(defended.perturbed(batch)):
            assert torch.equal(seen[one], (rectified if flag else batch)[one])
