"""Details of defences and of their training that no outcome would betray."""

import math

import pytest
import torch
from torch import Tensor, nn

from regen_lib import attacks, defenses
from regen_lib.attacks._shared.activations import activations
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.perturbations import Threat
from regen_lib.defenses._shared.base import TrainingData
from regen_lib.defenses.democratic_training import entropy, features, low_entropy
from regen_lib.defenses.feature_distillation import feature_distillation
from regen_lib.defenses.feature_norm_clipping import CALIBRATION
from regen_lib.defenses.hgd import hgd
from regen_lib.defenses.pixel_deflection import pixel_deflection
from regen_lib.defenses.prn import Residual, prn
from regen_lib.networks.blocks import initialise
from regen_lib.regeneration.synthesis import diverse
from regen_lib.training.recipe import Recipe, rate_at
from tests.conftest import draw, rng

WIDE = Threat(math.inf, 60.0, 1.0)


class Constant(nn.Module):
    """The same value everywhere, and a memory of what came in."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value
        self.seen: Tensor = torch.zeros(0)

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return torch.full_like(x, self.value)


def test_prns_block_has_two_rectifications() -> None:
    block, x = Residual(4), draw(2, 4, 5, 5)
    convolved = nn.functional.conv2d(x, block.conv1.weight, block.conv1.bias, padding=1).clamp_min(0)
    convolved = nn.functional.conv2d(convolved, block.conv2.weight, block.conv2.bias, padding=1)
    assert bool((convolved < 0).any())
    torch.testing.assert_close(block(x), x + convolved.clamp_min(0))


def test_prn_sees_pixels_from_minus_one_to_one(network: nn.Module) -> None:
    defended, x = prn(network, channels=1, maps=4), torch.tensor([0.0, 127.5, 255.0]).view(1, 1, 1, 3)
    defended.rectifier = Constant(0.5)
    torch.testing.assert_close(defended.transform(x), torch.full_like(x, 0.5 * 127.5 + 127.5))
    assert defended.rectifier.seen.flatten().tolist() == [-1.0, 0.0, 1.0]


@pytest.mark.parametrize("name", ["fff", "gd_uap", "nag"])
def test_the_white_box_does_not_see_pixel_deflection_look(network: nn.Module, images: Images, name: str) -> None:
    """Its own forward and backward are no part of what an attack watches."""
    defended, x, options = pixel_deflection(network, deflections=5), images.pixels[:4].float(), {"steps": 2, "check": 1}
    bank = attacks.find(name)(defended, images.pixels, WIDE, seed=0, count=2, **({"passes": 1} if name == "nag" else options))
    assert len(bank) == 2
    state = defended.rng.get_state()
    with activations(defended) as seen:
        defended(x)
    defended.rng.set_state(state)
    with activations(network) as expected:
        network(defended.transform(x))
    assert len(seen) == len(expected)
    assert all(torch.equal(one, other) for one, other in zip(seen, expected, strict=True))


def test_pixel_deflection_names_what_it_cannot_be_attacked_by(network: nn.Module, images: Images) -> None:
    defended = pixel_deflection(network, deflections=5)
    with pytest.raises(StudyError, match=r"^pixel deflection follows gradients of its own, .* by other means than singular_fool"):
        attacks.find("singular_fool")(defended, images.pixels, WIDE, seed=0, count=2, iterations=2, batch=4)


def test_hgd_adds_noise_on_the_scale_of_pixels(network: nn.Module) -> None:
    defended, x = hgd(network, channels=1, width=4), torch.tensor([0.0, 51.0, 255.0]).view(1, 1, 1, 3)
    defended.denoiser = Constant(-0.1)
    assert defended.transform(x).flatten().tolist() == pytest.approx([-25.5, 25.5, 229.5])
    assert defended.denoiser.seen.flatten().tolist() == pytest.approx([0.0, 0.2, 1.0])


def test_low_entropy_steps_are_a_quarter_of_epsilon(smooth: nn.Module, images: Images) -> None:
    x = images.pixels[:4].float()
    v = (torch.rand(x.shape, generator=rng(2)) * 2 - 1) * 12
    for _ in range(3):
        leaf = v.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(entropy(features(smooth, x + leaf)).sum(), leaf)
        v = (v - 3 * gradient.sign()).clamp(-12, 12)
    torch.testing.assert_close(low_entropy(smooth, x, images.labels[:4], rng(2), epsilon=12.0, steps=3), v)


def test_usual_norms_are_of_the_first_thousand_images(network: nn.Module, images: Images, training_data: TrainingData) -> None:
    assert CALIBRATION == 1000
    many = Images(torch.cat([images.pixels.repeat(20, 1, 1, 1), images.pixels[:40], images.pixels * 0]), images.labels.repeat(22)[:1048])
    plain = TrainingData(many, training_data.bank, training_data.layers)
    defended = defenses.make("feature_norm_clipping", network, {"options": {"alpha": 1.1}}, plain, seed=0)
    x = many.pixels[:1000].float()
    norms = network.conv1_1(network.normalize(x)).norm(dim=1)
    assert float(defended.clipped.conv1_1.usual) == pytest.approx(float(norms.mean()), rel=1e-4)


def test_the_two_steps_of_the_distillation_table(network: nn.Module) -> None:
    table = feature_distillation(network, low=20, high=50).table
    assert [[float(table[i, j]) for j in (0, 3, 4, 7)] for i in (0, 3, 4, 7)] == [[20, 20, 50, 50]] * 2 + [[50] * 4] * 2


def test_conv1_scale_scales_the_first_convolution_alone() -> None:
    """The setting that decides what filter norms mean: the others are drawn as without it."""
    plain, small = (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(4, 2)) for _ in range(2))
    initialise(plain, rng(1))
    initialise(small, rng(1), conv1_scale=0.1)
    torch.testing.assert_close(small[0].weight, plain[0].weight * 0.1)
    for index in (1, 3):
        assert torch.equal(small[index].weight, plain[index].weight)


@pytest.mark.parametrize(("done", "rate"), [(0.0, 0.004), (0.125, 0.052), (0.25, 0.1), (0.625, 0.05), (0.9999, 0.0)])
def test_one_cycle_by_hand(done: float, rate: float) -> None:
    """A quarter of the training from 4 % up to the rate, then half a cosine down to nothing."""
    assert rate_at(Recipe(4, 0.1, schedule="cycle"), done) == pytest.approx(rate, abs=1e-5)


def test_diverse_perturbations_by_a_loop() -> None:
    bank, threat = draw(4, 1, 3, 3) * 20, Threat(float("inf"), 30.0)
    made, generator = diverse(bank, 6, threat, rng=rng(5)), rng(5)
    weights = [[-float(u.clamp_min(1e-12).log()) for u in row] for row in torch.rand(6, 4, generator=generator)]
    signs = torch.randint(2, (6, 4), generator=generator).tolist()
    sizes = [float(bank[k].norm()) for k in torch.randint(4, (6,), generator=generator).tolist()]
    assert 0 < sum(map(sum, signs)) < 24
    for i in range(6):
        mixed = sum(weights[i][k] * (1 if signs[i][k] else -1) * bank[k] for k in range(4))
        torch.testing.assert_close(made[i], (mixed * sizes[i] / mixed.norm()).clamp(-30, 30), rtol=1e-4, atol=1e-3)


def test_training_mirrors_left_and_right() -> None:
    """Half of the images of a batch, about, and never upside down."""
    pixels = torch.arange(9, dtype=torch.uint8).view(1, 1, 3, 3).repeat(200, 1, 1, 1)
    images = Images(pixels, torch.zeros(200, dtype=torch.long))
    x, _ = images.batch(torch.arange(200), rng(1))
    mirrored = [bool((image == pixels[0].flip(2)).all()) for image in x]
    assert all(flag or bool((image == pixels[0]).all()) for flag, image in zip(mirrored, x, strict=True))
    assert 60 < sum(mirrored) < 140
