"""Details of the attacks that no outcome would betray: what is kept, what is dropped, how far something turns."""

import math

import pytest
import torch
from torch import Tensor, nn

from regen_lib.attacks import make
from regen_lib.attacks._shared import loss_gradient as gradients
from regen_lib.attacks._shared.deepfool import deepfool
from regen_lib.attacks._shared.generators import LatentGenerator, residual_generator, seeded
from regen_lib.attacks._shared.loss_gradient import loss_gradient
from regen_lib.attacks.fff import fff
from regen_lib.attacks.gd_uap import augment
from regen_lib.attacks.nag import nag
from regen_lib.attacks.random_signs import random_signs
from regen_lib.attacks.singular_fool import dual, psi, singular_fool
from regen_lib.attacks.uap import steps as uap_steps
from regen_lib.core.images import Images
from regen_lib.core.perturbations import Threat
from tests.conftest import linear_network, rng

WIDE = Threat(math.inf, 80.0, 1.0)


@pytest.mark.parametrize("seed", range(4))  # at a rate at which a later pass may fool less, however a processor rounds
def test_nag_gives_the_draws_of_its_best_pass(network: nn.Module, images: Images, seed: int) -> None:
    """The passes before are the same, so more of them never fool less; and what is given is what was measured."""
    ratios = []
    for passes in range(1, 7):
        bank = nag(network, images.pixels, Threat(math.inf, 60.0, 1.0), seed=seed, count=2, passes=passes, batch=8, rate=1e-2)
        for k, part in enumerate(images.pixels.float().split(24)):
            changed = network(part + bank.perturbations[k]).argmax(1) != network(part).argmax(1)
            assert bank.fooling[k] == pytest.approx(float(changed.float().mean()))
        ratios.append(sum(bank.fooling) / 2)
    assert ratios == sorted(ratios) == pytest.approx(list(bank.history))
    assert ratios[-1] > 0


class Unreachable(nn.Module):
    """Class 0 scores 5, class 1 never more than 1: DeepFool walks, and does not arrive."""

    def forward(self, x: Tensor) -> Tensor:
        total = x.flatten(1).sum(1)
        return torch.stack([total * 0 + 5, torch.tanh(total)], dim=1)


def test_uap_drops_a_step_where_deepfool_did_not_arrive() -> None:
    pixels = torch.zeros(6, 1, 2, 2, dtype=torch.uint8)
    change, steps = deepfool(Unreachable(), pixels.float(), classes=2)
    assert steps.tolist() == [10] * 6
    assert bool(change.any())
    members, chosen, clean = torch.zeros(1, dtype=torch.long), torch.arange(6)[None], torch.zeros(1, 6, dtype=torch.long)
    assert not uap_steps(Unreachable(), pixels[None], clean, torch.zeros(1, 1, 2, 2), members, chosen, 2).any()


def test_deepfool_overshoots_by_two_percent() -> None:
    """From 100 to the boundary x = 50 of two classes: 51 instead of 50."""
    network = linear_network(torch.tensor([[1.0], [-1.0]]), torch.tensor([0.0, 100.0]), (1, 1, 1))
    change, steps = deepfool(network, torch.full((1, 1, 1, 1), 100.0), classes=2)
    assert float(change) == pytest.approx(-51.0)
    assert steps.tolist() == [1]


def test_fff_halves_every_rescale_steps(network: nn.Module, images: Images) -> None:
    """Halving is to let a saturated perturbation move again: it changes what comes after, where it happens at all."""
    plan = {"seed": 0, "count": 1, "steps": 8, "check": 8, "rate": 0.05}
    never, later, twice = (fff(network, images.pixels, WIDE, **plan, rescale=rescale).perturbations for rescale in (100, 9, 3))
    assert torch.equal(never, later)
    assert not torch.equal(never, twice)


def test_singular_fool_takes_its_depths_in_turn(network: nn.Module, images: Images) -> None:
    plan = {"seed": 0, "count": 2, "q": 2.0, "iterations": 10, "batch": 4}
    early, late, both = (singular_fool(network, images.pixels, WIDE, **plan, depths=depths) for depths in ((0.1,), (0.6,), (0.1, 0.6)))
    assert not torch.equal(early.perturbations[1], late.perturbations[1])
    assert torch.equal(both.perturbations[0], early.perturbations[0])
    assert torch.equal(both.perturbations[1], late.perturbations[1])


def test_psi_and_the_dual_vector_by_hand() -> None:
    torch.testing.assert_close(psi(torch.tensor([-2.0, 3.0]), 3.0), torch.tensor([-4.0, 9.0]))
    torch.testing.assert_close(dual(torch.tensor([3.0, -4.0]), 2), torch.tensor([0.6, -0.8]))
    assert dual(torch.tensor([3.0, -4.0]), math.inf).tolist() == [1.0, -1.0]


def centre(image: Tensor) -> tuple[float, float]:
    """Where the light of an image ``[H, W]`` is, from the middle: right, up."""
    size = len(image)
    at, total = torch.arange(size) - (size - 1) / 2, float(image.sum())
    return float((image.sum(0) * at).sum()) / total, -float((image.sum(1) * at).sum()) / total


def drawn(seed: int) -> tuple[tuple[bool, ...], list[float]]:
    """Which changes a seed draws (mirror, scale, turn, blur), and by how much."""
    generator = rng(seed)
    which = tuple((torch.rand(4, generator=generator) < 0.5).tolist())
    return which, torch.rand(3, generator=generator).tolist()


@pytest.mark.parametrize(
    "which", [(True, False, False, False), (False, True, False, False), (False, False, True, False), (False, False, False, True)]
)
def test_augmentation_changes_one_thing_by_as_much_as_was_drawn(which: tuple[bool, ...]) -> None:
    """A spot right of the middle is mirrored to the left, moved out or in by 0.75 to 1.5, turned by up to 10 degrees, or spread."""
    image = torch.zeros(1, 1, 61, 61)
    image[:, :, 26:31, 44:49] = 100
    seeds = [seed for seed in range(400) if drawn(seed)[0] == which][:6]
    right, up = centre(image[0, 0])
    for seed in seeds:
        amounts = drawn(seed)[1]
        found = augment(image, rng(seed))[0, 0]
        moved = centre(found)
        scale = 0.75 + 0.75 * amounts[0] if which[1] else 1.0
        assert math.hypot(*moved) == pytest.approx(scale * math.hypot(right, up), rel=0.03)
        turned = abs(math.degrees(math.atan2(moved[1], -moved[0] if which[0] else moved[0]) - math.atan2(up, right)))
        assert turned == pytest.approx(abs(20 * amounts[1] - 10) if which[2] else 0.0, abs=1.5)
        assert (moved[0] < 0) == which[0]
        if not (which[1] or which[2]):
            assert (int((found > 0).sum()) > 25) == which[3]
    assert len(seeds) == 6


@pytest.mark.parametrize("maker", [residual_generator((3, 64, 64)), LatentGenerator((3, 64, 64))], ids=["gap", "nag"])
def test_generators_start_from_a_deviation_of_two_hundredths(maker: nn.Module) -> None:
    seeded(maker, rng())
    weights = torch.cat([p.flatten() for p in maker.parameters() if p.ndim > 1])
    assert float(weights.detach().std()) == pytest.approx(0.02, rel=0.02)
    biases = [m.bias for m in maker.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and m.bias is not None]
    assert biases
    assert not torch.cat(biases).any()


@pytest.mark.parametrize(("scale", "counts"), [(1.0, True), (20.0, False)])
def test_a_loss_above_nine_has_no_gradient(scale: float, counts: bool) -> None:
    """Two classes ``scale`` apart at one image of value 1: the loss of the wrong one is about that, and clipped at 9."""
    network = linear_network(torch.tensor([[scale], [0.0]]), torch.zeros(2), (1, 1, 1))
    parts, labels = torch.ones(1, 1, 1, 1, 1, dtype=torch.uint8), torch.ones(1, 1, dtype=torch.long)
    gradient = loss_gradient(network, parts, labels, torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, dtype=torch.long))
    expected = scale / (1 + math.exp(-scale)) if counts else 0.0  # of log(1 + e^scale)
    assert float(gradient) == pytest.approx(expected)


def test_members_go_through_the_network_in_pieces_that_fit(network: nn.Module, images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of five members at a time: each has the gradient that it has alone, and as many images at once as fit."""
    parts = images.pixels[:40].view(5, 8, *images.pixels.shape[1:])
    labels, chosen = images.labels[:40].view(5, 8), torch.randint(8, (5, 3), generator=rng(1))
    v = torch.randn(5, *images.pixels.shape[1:], generator=rng(2))
    whole = loss_gradient(network, parts, labels, v, chosen)
    seen: list[int] = []
    handle = network.register_forward_pre_hook(lambda _module, x: seen.append(len(x[0])))
    monkeypatch.setattr(gradients, "AT_ONCE", 2 * 3 * v[0].numel() + 1)
    pieces = loss_gradient(network, parts, labels, v, chosen)
    monkeypatch.setattr(gradients, "AT_ONCE", 1)
    alone = loss_gradient(network, parts, labels, v, chosen)
    handle.remove()
    assert seen == [6, 6, 3, *[3] * 5]
    for found in (pieces, alone):
        assert float((found - whole).abs().max()) < 1e-6 * float(whole.abs().max())


def test_eight_and_a_half_is_below_the_clip() -> None:
    network = linear_network(torch.tensor([[8.5], [0.0]]), torch.zeros(2), (1, 1, 1))
    parts, labels = torch.ones(1, 1, 1, 1, 1, dtype=torch.uint8), torch.ones(1, 1, dtype=torch.long)
    assert float(loss_gradient(network, parts, labels, torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, dtype=torch.long))) > 8


def test_random_signs_fill_the_ball(network: nn.Module, images: Images) -> None:
    for norm, xi, value in ((math.inf, 7.0, 7.0), (2, 60.0, 5.0)):  # 144 values: 60 / sqrt(144)
        v = random_signs(network, images.pixels, Threat(norm, xi), seed=0, count=2).perturbations
        torch.testing.assert_close(v.abs(), torch.full_like(v, value))
        assert 0.3 < float((v > 0).float().mean()) < 0.7


def test_a_row_names_the_images_of_its_attack(network: nn.Module, images: Images) -> None:
    """``start`` and ``images`` cut a part out of a split; the bank fools as much of it as it says."""
    where = {"split": "b", "start": 10, "images": 20}
    spec = {
        **where,
        "attack": "random_signs",
        "norm": "inf",
        "xi": 80,
        "target": 1.0,
        "count": 1,
        "split": "b",
        "start": 10,
        "images": 20,
        "options": {},
    }
    bank = make(network, {"a": Images(images.pixels[:1], images.labels[:1]), "b": images}, spec, seed=3)
    part = images.pixels[10:30].float()
    fooled = network(part + bank.perturbations).argmax(1) != network(part).argmax(1)
    assert list(bank.fooling) == pytest.approx([float(fooled.float().mean())])
    assert float(fooled.float().mean()) not in (0.0, 1.0)
