"""The unseen attacks against closed forms, brute force and literal loops."""

import itertools
import math
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from regen_lib.attacks._shared.activations import activations
from regen_lib.attacks._shared.excitation import excitation, neutral
from regen_lib.attacks._shared.generators import LatentGenerator, residual_generator
from regen_lib.attacks._shared.universal_step import universal_step
from regen_lib.attacks.fff import fff, mean_absolute
from regen_lib.attacks.gap import gap, generator_loss
from regen_lib.attacks.gd_uap import Prior, Saturation, augment, gd_uap, half_square
from regen_lib.attacks.nag import nag, terms
from regen_lib.attacks.sga import sga
from regen_lib.attacks.singular_fool import singular_fool, singular_vector
from regen_lib.attacks.spgd import spgd
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.layers import convolutions
from regen_lib.core.perturbations import Threat
from regen_lib.core.seeding import generator
from tests.conftest import draw, linear_network

INF, WIDE = Threat(math.inf, 25.0, 1.0), Threat(math.inf, 80.0, 1.0)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_singular_vector_is_numpys() -> None:
    matrix = draw(9, 6, seed=2)
    found = singular_vector(lambda v: matrix @ v.flatten(), draw(1, 1, 2, 3, seed=3), 2, 2.0, 200).flatten()
    expected = torch.from_numpy(np.linalg.svd(matrix.numpy())[2][0])
    torch.testing.assert_close(found * (found @ expected).sign(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("q", [2.0, 5.0])
def test_singular_vector_of_signs_by_brute_force(q: float) -> None:
    """Over all 2^8 sign vectors; the power method is local, so the best of sixty starts counts, and none moves away again."""
    matrix = draw(10, 8, seed=4)

    def size(v: Tensor) -> float:
        return float(torch.linalg.vector_norm(matrix @ v.flatten(), q))

    expected = max(size(torch.tensor(signs)) for signs in itertools.product((-1.0, 1.0), repeat=8))
    starts = [draw(1, 1, 2, 4, seed=s) for s in range(60)]
    found = [singular_vector(lambda v: matrix @ v.flatten(), start, math.inf, q, 30) for start in starts]
    assert max(map(size, found)) == pytest.approx(expected, rel=1e-5)
    for start, v in zip(starts, found, strict=True):
        assert size(v) >= size(start.sign()) * (1 - 1e-6)
        assert v.abs().eq(1).all()


def test_singular_fool_takes_the_layers_jacobian(network: nn.Sequential, images: Images) -> None:
    """A layer's Jacobian at the images, written out, and numpy's SVD of it."""
    bank = singular_fool(network, images.pixels, Threat(2, 100.0, 1.0), seed=0, count=1, depths=(0.1,), q=2.0, iterations=300, batch=4)
    layer, x = network[: max(2, round(0.1 * len(network)))], images.pixels[:4].float()
    jacobian = torch.func.jacrev(lambda v: layer(x + v).flatten())(torch.zeros(1, *x.shape[1:])).flatten(1)
    expected = torch.from_numpy(np.linalg.svd(jacobian.double().numpy())[2][0]).float()
    found = bank.perturbations[0].flatten() / 100
    assert abs(float(found @ expected)) > 0.999


def two_layers() -> nn.Sequential:
    """Two 1x1 convolutions on one channel: x -> 2x -> -3 * relu(2x) + 1."""
    first, second = nn.Conv2d(1, 1, 1, bias=False), nn.Conv2d(1, 1, 1)
    first.weight.data.fill_(2.0)
    second.weight.data.fill_(-3.0)
    assert second.bias is not None
    second.bias.data.fill_(1.0)
    return nn.Sequential(first, nn.ReLU(), second, nn.Flatten()).requires_grad_(False)


def test_excitation_by_hand() -> None:
    x = torch.tensor([[1.0, -2.0], [0.5, 0.0]]).view(2, 1, 1, 2)
    with convolutions(two_layers()) as outputs:
        model = two_layers()
    with convolutions(model) as outputs:
        model(x)
        # first image: 2, -4 then 1 - 3*2 = -5, 1; second: 1, 0 then -2, 1
        means = excitation(outputs, mean_absolute, 2)
        squares = excitation(outputs, half_square, 2)
        both = excitation(outputs, half_square, 1)
    assert means.tolist() == pytest.approx([math.log(3) + math.log(3), math.log(0.5) + math.log(1.5)])
    assert squares.tolist() == pytest.approx([math.log(10) + math.log(13), math.log(0.5) + math.log(2.5)])
    assert both.tolist() == pytest.approx([math.log(10.5) + math.log(15.5)])
    with activations(model) as outputs:
        model(x)
        rectified = excitation(outputs, mean_absolute, 2)
    assert rectified.tolist() == pytest.approx([math.log(1) + math.log(3), math.log(0.5) + math.log(1.5)])


def test_the_neutral_image_is_the_images_mean() -> None:
    """In several chunks, the last one smaller."""
    pixels = torch.randint(0, 256, (2300, 3, 4, 5), generator=rng(1), dtype=torch.uint8)
    mean, std = neutral(pixels)
    assert mean.flatten().tolist() == pytest.approx(pixels.numpy().mean((0, 2, 3)).tolist(), rel=1e-6)
    assert std.flatten().tolist() == pytest.approx(pixels.numpy().std((0, 2, 3)).tolist(), rel=1e-6)


@pytest.mark.parametrize("attack", ["fff", *get_args(Prior)])
def test_data_free_attacks_excite_the_network(network: nn.Module, images: Images, attack: str) -> None:
    """More than random signs of the same norm do, on what carries them."""
    if attack == "fff":
        bank = fff(network, images.pixels, WIDE, seed=0, count=2, steps=60, check=60, rate=0.05)
    else:
        bank = gd_uap(network, images.pixels, WIDE, prior=attack, batch=4, seed=0, count=2, steps=60, check=60, rate=0.05)
    objective = mean_absolute if attack == "fff" else half_square
    carrier = images.pixels[:4].float() if attack == "data" else neutral(images.pixels)[0].expand(1, 1, 12, 12)

    def excited(v: Tensor) -> float:
        with activations(network) as outputs:
            network(carrier + v)
            return float(excitation(outputs, objective, 1))

    assert min(excited(v) for v in bank.perturbations) > max(excited(draw(1, 12, 12, seed=s).sign() * 80) for s in range(5))
    assert bank.threat.size(bank.perturbations).tolist() == pytest.approx([80.0, 80.0], rel=1e-6)


def test_saturated_and_still_is_halved() -> None:
    halve, v = Saturation(10.0), torch.tensor([10.0, -10.0, 10.0, 1.0])
    assert not halve(1, 0, v)  # the share has just risen
    assert halve(2, 0, v)
    assert not halve(3, 0, v / 2)
    assert not halve(3, 1, v)  # another perturbation has its own memory


def test_augmentation_keeps_the_shape_and_is_drawn(images: Images) -> None:
    x = images.pixels[:4].float()
    seen = [augment(x, rng(seed)) for seed in range(8)]
    assert all(y.shape == x.shape for y in seen)
    assert torch.equal(seen[3], augment(x, rng(3)))
    assert len({float(y.sum()) for y in seen}) > 3


def literal_sga(network: nn.Module, pixels: Tensor, xi: float, passes: int, batch: int, inner: int, repeats: int) -> Tensor:
    """SGA's two loops as its paper lists them."""
    draws, v = generator(0, "sga", 0), torch.zeros(1, *pixels.shape[1:])
    labels = network(pixels.float()).argmax(1)
    for _ in range(passes):
        order = torch.randperm(len(pixels), generator=draws)
        for start in range(0, len(pixels), batch):
            big, trial, total = order[start : start + batch], v.clone(), torch.zeros_like(v)
            for _ in range(repeats):
                mixed = big[torch.randperm(len(big), generator=draws)]
                for small in range(0, len(big), inner):
                    chosen = mixed[small : small + inner]
                    leaf = trial.clone().requires_grad_()
                    losses = nn.functional.cross_entropy(network(pixels[chosen].float() + leaf), labels[chosen], reduction="none")
                    (gradient,) = torch.autograd.grad(losses.clamp(max=9).mean(), leaf)
                    total += gradient
                    trial = (trial + 0.1 * xi * gradient.sign()).clamp(-xi, xi)
            v = (v + 0.1 * xi * total.sign()).clamp(-xi, xi)
    return v


def test_sga_is_its_literal_loop(smooth: nn.Module, images: Images) -> None:
    bank = sga(smooth, images.pixels, INF, seed=0, count=1, passes=2, batch=20, inner=5, repeats=2)
    torch.testing.assert_close(bank.perturbations, literal_sga(smooth, images.pixels, 25.0, 2, 20, 5, 2))


@pytest.mark.parametrize("towards", [0, 2])
def test_targeted_attacks_reach_their_class(smooth: nn.Module, images: Images, towards: int) -> None:
    wide = Threat(math.inf, 120.0, 1.0)
    made = spgd(smooth, images.pixels, wide, seed=0, count=1, passes=6, batch=16, towards=towards)
    trained = gap(smooth, images.pixels, wide, seed=0, count=1, passes=6, batch=16, rate=1e-3, towards=towards)
    for bank in (made, trained):
        share = float((smooth(images.pixels.float() + bank.perturbations).argmax(1) == towards).float().mean())
        before = float((smooth(images.pixels.float()).argmax(1) == towards).float().mean())
        assert share > max(0.8, before)


def test_gap_losses_by_hand() -> None:
    """Two pixels are two logits: at x = (2, 0) the clean class is 0, the least likely 1; v moves them to (1, 0.5)."""
    network = linear_network(torch.eye(2), torch.zeros(2), (1, 1, 2))
    x, v = torch.tensor([[[[2.0, 0.0]]]]), torch.tensor([[[[-1.0, 0.5]]]])
    assert float(generator_loss(network, x, v, "least", None)) == pytest.approx(math.log(math.log(1 + math.exp(0.5))))
    assert float(generator_loss(network, x, v, "clean", None)) == pytest.approx(-math.log(math.log(1 + math.exp(-0.5))))
    assert float(generator_loss(network, x, torch.zeros_like(v), "clean", 1)) == pytest.approx(math.log(math.log(1 + math.exp(2))))
    with pytest.raises(StudyError, match="give one of least, clean"):
        gap(network, x.to(torch.uint8), INF, seed=0, count=1, loss="most")
    with pytest.raises(StudyError, match="give one of none, range, data"):
        gd_uap(network, x.to(torch.uint8), INF, seed=0, count=1, prior="some")


def test_gap_fools(network: nn.Module, images: Images) -> None:
    x = images.pixels.float()
    clean = network(x).argmax(1)
    random = max(float((network(x + draw(1, 1, 12, 12, seed=s).sign() * 80).argmax(1) != clean).float().mean()) for s in range(5))
    bank = gap(network, images.pixels, WIDE, seed=0, count=1, passes=12, batch=16, rate=1e-3, loss="clean")
    assert bank.fooling[0] > random + 0.15
    assert list(bank.history) == sorted(bank.history)


def test_nag_terms_by_hand(network: nn.Module, images: Images) -> None:
    x, labels = images.pixels[:6].float(), network(images.pixels[:6].float()).argmax(1)
    v = draw(6, 1, 12, 12) * 20
    fool, differ = terms(network, x, labels, v, rng(5))
    left = network(x + v).softmax(1)[torch.arange(6), labels].mean()
    assert float(fool) == pytest.approx(-math.log(1 - float(left)), rel=1e-4)
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    upto = network[: list(dict(network.named_children())).index(names[-1]) + 1]
    others = v[torch.randperm(6, generator=rng(5))]
    assert float(differ) == pytest.approx(float((upto(x + v) - upto(x + others)).square().mean() / upto(x + v).square().mean()), rel=1e-4)


def test_nags_diversity_term_makes_draws_differ(network: nn.Module, images: Images) -> None:
    cosine = {}
    for diversity in (0.0, 1.0):
        bank = nag(network, images.pixels, WIDE, seed=0, count=6, passes=40, batch=16, rate=3e-3, diversity=diversity)
        unit = nn.functional.normalize(bank.perturbations.flatten(1), dim=1)
        cosine[diversity] = float((unit @ unit.T).triu(1).sum() / 15)
    assert cosine[1.0] < cosine[0.0] - 0.05


@pytest.mark.parametrize(("size", "width"), [(12, 12), (28, 28), (32, 32), (64, 64), (15, 13), (9, 33)])
def test_generators_fit_the_images(size: int, width: int) -> None:
    shape = (3, size, width)
    made = residual_generator(shape)(torch.rand(2, *shape, generator=rng()))
    drawn = LatentGenerator(shape).sample(2, rng())
    for v in (made, drawn):
        assert v.shape == (2, *shape)
        assert float(v.detach().abs().max()) <= 1


def test_the_last_step_counts(network: nn.Module, images: Images) -> None:
    """Where the steps end between two checks, or before the first."""
    for steps, looks in ((3, 1), (10, 3), (8, 2)):
        bank = fff(network, images.pixels, WIDE, seed=0, count=1, steps=steps, check=4)
        assert len(bank.history) == looks
        assert bank.threat.size(bank.perturbations).tolist() == pytest.approx([80.0], rel=1e-6)


@pytest.mark.parametrize("norm", [math.inf, 2.0])
@pytest.mark.parametrize("xi", [10.0, 5000.0])
def test_universal_step_by_numpy(norm: float, xi: float) -> None:
    v, gradient, threat = draw(2, 1, 4, 5) * 8, draw(2, 1, 4, 5, seed=1), Threat(norm, xi)
    gradient[1] = 0  # no direction
    stepped = universal_step(v, gradient, 7.0, threat)
    for k, found in enumerate(stepped.double().numpy()):
        slope, start = gradient[k].double().numpy(), v[k].double().numpy()
        towards = np.sign(slope) if norm == math.inf else slope / max(np.linalg.norm(slope), 1e-12)
        moved = start + 7 * towards
        expected = np.clip(moved, -xi, xi) if norm == math.inf else moved * min(1, xi / np.linalg.norm(moved))
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert float(threat.size(stepped).max()) <= xi * (1 + 1e-5)
