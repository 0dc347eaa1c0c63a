"""PRN's detector before an attacker who knows it: its hard decision, and the gradient through it."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from torch import Tensor

from regen_lib.attacks.spgd import spgd
from regen_lib.core.perturbations import Threat
from regen_lib.defenses.prn import PRN
from regen_lib.defenses.prn_det import DetectingPRN, prn_det
from tests.conftest import draw, linear_network

SIDE = 6
ACROSS, DOWN = (0, 1), (1, 0)  # two coefficients of the DCT: half a wave across, half a wave down


def detector() -> DetectingPRN:
    """A detector with random weights, in float64, whose threshold is the median of the scores of :func:`photographs`."""
    defended = prn_det(linear_network(draw(4, 36), torch.zeros(4), (1, SIDE, SIDE)), channels=1, size=SIDE, maps=4, blocks=1).double()
    defended.weight.copy_(draw(36) / 6)
    defended.bias.zero_()
    defended.bias.sub_(scores(defended, photographs()).quantile(0.5))
    return defended.requires_grad_(False)


def photographs() -> Tensor:
    return draw(12, 1, SIDE, SIDE, seed=1).double() * 60 + 100


def scores(defended: DetectingPRN, x: Tensor) -> Tensor:
    """The detector's scores ``[N]`` by scipy's DCT."""
    coefficients = dctn((x - PRN.transform(defended, x))[:, 0].numpy(force=True), axes=(1, 2), norm="ortho")
    return torch.from_numpy(np.log(np.abs(coefficients) + 1e-3)).flatten(1) @ defended.weight + defended.bias


@pytest.mark.parametrize("gradient", [False, True])
def test_the_decision_is_hard_to_the_byte(gradient: bool) -> None:
    defended, x = detector().float(), photographs().float().requires_grad_(gradient)
    flags, rectified, seen = scores(defended, x) > 0, PRN.transform(defended, x), defended.transform(x)
    expected = torch.stack([rectified[one] if flag else x[one] for one, flag in enumerate(flags)])
    assert flags.sum() == 6
    assert seen.requires_grad == gradient
    assert seen.numpy(force=True).tobytes() == expected.numpy(force=True).tobytes()


def test_the_gradient_has_the_detectors_part() -> None:
    """Finite differences of a mixture of both images, whose shares are the decision and what a sigmoid of the score changes from there."""
    defended, x = detector(), photographs()
    decided, here = (scores(defended, x) > 0).double(), scores(defended, x).sigmoid()
    logit, way = (draw(12, 1, SIDE, SIDE, seed=seed).double() for seed in (2, 3))

    def mixtures(at: Tensor) -> Tensor:
        share = (decided + scores(defended, at).sigmoid() - here).view(-1, 1, 1, 1)
        return (logit * (share * PRN.transform(defended, at) + (1 - share) * at)).flatten(1).sum(1)

    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((logit * defended.transform(leaf)).sum(), leaf)
    slopes = (mixtures(x + 1e-5 * way) - mixtures(x - 1e-5 * way)) / 2e-5
    torch.testing.assert_close((gradient * way).flatten(1).sum(1), slopes, rtol=1e-5, atol=1e-5)


def wave(place: tuple[int, int]) -> Tensor:
    """The image ``[H, W]`` of one coefficient of the DCT, of norm 1."""
    cosine = [torch.ones(SIDE) / math.sqrt(SIDE), torch.cos(math.pi / SIDE * (torch.arange(SIDE) + 0.5)) * math.sqrt(2 / SIDE)]
    return cosine[place[0]][:, None] * cosine[place[1]]


def test_an_attack_gets_under_the_alarm() -> None:
    """The network follows both waves, the alarm the one across alone, which is the faster way to fool; what is rectified is grey.

    An attacker who takes the alarm for a constant goes that way until every image is grey, and has no gradient there.
    """
    weight = torch.stack([torch.zeros(SIDE**2), (2 * wave(ACROSS) + wave(DOWN)).flatten()]) / 20
    network = linear_network(weight, torch.tensor([3.5, 0.0]), (1, SIDE, SIDE))
    defended = prn_det(network, channels=1, size=SIDE, maps=4, blocks=1).requires_grad_(False)
    for parameter in defended.rectifier.parameters():
        parameter.zero_()
    defended.weight.view(SIDE, SIDE)[ACROSS] = 1
    defended.bias.fill_(-math.log(25))  # an alarm where that coefficient is above 25
    pixels = (draw(20, 1, SIDE, SIDE) + 128).round().to(torch.uint8)
    attack = partial(spgd, pixels=pixels, threat=Threat(math.inf, 20.0, 1.0), seed=0, count=1, passes=50, batch=20, step=0.05)

    def found_and_fooled(v: Tensor) -> tuple[float, float]:
        x = pixels.float()
        fooled = defended(x + v).argmax(1) != defended(x).argmax(1)
        return float(defended.perturbed(x + v).float().mean()), float(fooled.float().mean())

    assert found_and_fooled(attack(network).perturbations) == (1, 0)
    assert found_and_fooled(attack(defended).perturbations) == (0, 1)
