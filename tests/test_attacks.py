"""UAP against the reference algorithm written out literally; sPGD against an analytic optimum; the control."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regen_lib.attacks import find, make
from regen_lib.attacks.random_signs import random_signs
from regen_lib.attacks.spgd import spgd
from regen_lib.attacks.uap import uap
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.perturbations import Bank, Threat
from regen_lib.core.seeding import generator
from tests.conftest import linear_network
from tests.small_attacks import OPTIONS

INF, L2 = Threat(math.inf, 25.0, 1.0), Threat(2, 200.0, 1.0)


def literal_deepfool(network: nn.Module, image: Tensor, classes: int) -> tuple[Tensor, int]:
    """DeepFool for one image, gradient by gradient, as its paper lists it."""
    start = network(image)[0]
    order = start.argsort(descending=True)[:classes]
    total, x, steps = torch.zeros_like(image), image, 0
    while steps < 10 and int(network(x)[0].argmax()) == int(order[0]):
        x = x.detach().requires_grad_()
        outputs = network(x)[0]
        scores = outputs.detach()
        gradients = [torch.autograd.grad(outputs[k], x, retain_graph=True)[0] for k in order]
        best, best_step = math.inf, total
        for k in range(1, classes):
            w, f = gradients[k] - gradients[0], float(scores[order[k]] - scores[order[0]])
            distance = abs(f) / float(w.norm())
            if distance < best:
                best, best_step = distance, abs(f) / float(w.norm()) ** 2 * w
        total = total + best_step.detach()
        x = image + 1.02 * total
        steps += 1
    return 1.02 * total, steps


def literal_uap(network: nn.Module, pixels: Tensor, threat: Threat, rng: torch.Generator, passes: int, classes: int) -> Tensor:
    """Moosavi-Dezfooli's loop, one image at a time; the best pass counts."""
    v = best = torch.zeros(1, *pixels.shape[1:])
    most = 0.0
    clean = network(pixels.float()).argmax(1)
    for _ in range(passes):
        for i in torch.randperm(len(pixels), generator=rng).tolist():
            x = pixels[i : i + 1].float()
            if int(network(x + v)[0].argmax()) == int(clean[i]):
                change, steps = literal_deepfool(network, x + v, classes)
                if steps < 9:
                    v = v + change
                    v = v.clamp(-threat.xi, threat.xi) if threat.norm == math.inf else v * min(1.0, threat.xi / float(v.norm()))
        fooled = float((network(pixels.float() + v).argmax(1) != clean).float().mean())
        if fooled >= most:
            best, most = v, fooled
        if fooled >= threat.target:
            break
    return best[0]


@pytest.mark.parametrize("threat", [INF, L2])
def test_batch_of_one_is_the_reference(smooth: nn.Module, images: Images, threat: Threat) -> None:
    bank = uap(smooth, images.pixels, threat, seed=4, count=2, passes=2, batch=1, classes=3)
    assert min(bank.fooling) > 0.3
    for k in range(2):
        expected = literal_uap(smooth, images.pixels[24 * k : 24 * k + 24], threat, generator(4, "uap", k), 2, 3)
        torch.testing.assert_close(bank.perturbations[k], expected, rtol=1e-3, atol=1e-2)


def test_uap_gives_its_best_pass(smooth: nn.Module, images: Images) -> None:
    """More passes never fool less, and the ratio in the bank is that of the perturbation in it."""
    ratios = []
    for passes in range(1, 7):
        bank = uap(smooth, images.pixels, Threat(math.inf, 12.0, 1.0), seed=3, count=1, passes=passes, batch=16, classes=3)
        x = images.pixels.float()
        measured = (smooth(x + bank.perturbations).argmax(1) != smooth(x).argmax(1)).float().mean()
        assert bank.fooling[0] == pytest.approx(float(measured))
        ratios.append(bank.fooling[0])
    assert ratios == sorted(ratios) == list(bank.history)


def test_batched_uap_fools_as_much_as_the_reference_order(smooth: nn.Module, images: Images) -> None:
    fooling = {batch: uap(smooth, images.pixels, INF, seed=0, count=1, passes=4, batch=batch, classes=4).fooling[0] for batch in (1, 8)}
    assert fooling[1] > 0.3
    assert fooling[8] > fooling[1] - 0.15


def test_one_batched_step_is_the_sum_of_deepfool_steps(linear: Callable[..., nn.Sequential], images: Images) -> None:
    network, wide = linear(), Threat(2, 1e6, 1.0)
    bank = uap(network, images.pixels[:8], wide, seed=0, count=1, passes=1, batch=8, classes=4)
    expected = sum(literal_deepfool(network, images.pixels[i : i + 1].float(), 4)[0] for i in range(8))
    assert isinstance(expected, Tensor)
    torch.testing.assert_close(bank.perturbations, expected, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("threat", [INF, L2])
def test_every_attack_keeps_the_protocol(network: nn.Module, images: Images, name: str, threat: Threat) -> None:
    options = OPTIONS[name]
    bank = find(name)(network, images.pixels, threat, seed=1, count=3, **options)
    assert isinstance(bank, Bank)
    assert bank.perturbations.shape == (3, 1, 12, 12)
    assert bank.measured <= threat.xi * (1 + 1e-5)
    assert len(bank.fooling) == 3
    x = images.pixels[16:32].float()
    changed = network(x + bank.perturbations[1]).argmax(1) != network(x).argmax(1)
    assert bank.fooling[1] == pytest.approx(float(changed.float().mean()))
    again = find(name)(network, images.pixels, threat, seed=1, count=3, **options)
    assert torch.equal(bank.perturbations, again.perturbations)
    other = find(name)(network, images.pixels, threat, seed=2, count=3, **options)
    assert not torch.equal(bank.perturbations, other.perturbations)


def test_members_do_not_share_images(smooth: nn.Module, images: Images) -> None:
    """Changing the second member's images leaves the first one as it is."""
    changed = images.pixels.clone()
    changed[24:] = 255 - changed[24:]
    one, other = (uap(smooth, pixels, INF, seed=0, count=2, passes=1, batch=4, classes=3) for pixels in (images.pixels, changed))
    torch.testing.assert_close(one.perturbations[0], other.perturbations[0], rtol=1e-3, atol=1e-2)
    assert not torch.allclose(one.perturbations[1], other.perturbations[1], atol=1.0)


@pytest.mark.parametrize("norm", [math.inf, 2])
def test_spgd_reaches_the_analytic_optimum(norm: float) -> None:
    """Two classes, one linear boundary, all images on one side: the best perturbation is xi times the dual of w."""
    w = torch.randn(16, generator=torch.Generator().manual_seed(9))
    network = linear_network(torch.stack([w, -w]) * 1e-3, torch.tensor([9.0, 0.0]), (1, 4, 4))
    pixels = torch.randint(100, 156, (32, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    threat = Threat(norm, 10.0, 1.0)
    v = spgd(network, pixels, threat, seed=0, count=1, passes=12, batch=16, step=0.2).perturbations.flatten()
    expected = -10 * (w.sign() if norm == math.inf else w / w.norm())
    torch.testing.assert_close(v, expected, rtol=1e-3, atol=1e-3)


def test_control_has_the_full_norm_everywhere(network: nn.Module, images: Images) -> None:
    v = random_signs(network, images.pixels, INF, seed=0, count=2).perturbations
    assert torch.equal(v.abs(), torch.full_like(v, 25.0))
    l2 = random_signs(network, images.pixels, L2, seed=0, count=2)
    torch.testing.assert_close(l2.perturbations.flatten(1).norm(dim=1), torch.full((2,), 200.0))


def test_make_takes_the_images_it_is_told(network: nn.Module, images: Images) -> None:
    spec = {"attack": "uap", "norm": "inf", "xi": 25, "target": 1.0, "count": 1, "split": "validation", "start": 8, "images": 16}
    bank = make(network, {"validation": images}, {**spec, "options": {"passes": 1, "batch": 4, "classes": 3}}, seed=0)
    direct = uap(network, images.pixels[8:24], INF, seed=0, count=1, passes=1, batch=4, classes=3)
    assert torch.equal(bank.perturbations, direct.perturbations)
    with pytest.raises(StudyError, match="64 images asked for, 48"):
        make(network, {"validation": images}, {**spec, "images": 56, "options": {}}, seed=0)


@pytest.mark.parametrize(
    ("attack", "options", "said"),
    [
        ("spgd", {"truth": "no"}, "spgd: options.truth is 'no': give true or false"),
        ("sga", {"truth": True}, "sga: options.truth is True: sga has no such option: remove it"),
        ("spgd", {"pases": 1}, "spgd: options.pases is 1: spgd has no such option: choose from passes, "),
        ("gd_uap", {"prior": "all"}, "gd_uap: options.prior is 'all': give one of "),
    ],
)
def test_make_names_an_option_that_the_attack_does_not_take(
    network: nn.Module, images: Images, attack: str, options: dict[str, Any], said: str
) -> None:
    spec = {"attack": attack, "xi": 25, "count": 1, "images": 16, "options": options}
    with pytest.raises(StudyError) as caught:
        make(network, {"validation": images}, spec, seed=0)
    assert str(caught.value).startswith(said)


def test_unknown_attack_and_too_few_images(network: nn.Module, images: Images) -> None:
    with pytest.raises(StudyError, match="choose one of fff, gap, gd_uap, nag, random_signs, sga, singular_fool, spgd, uap"):
        find("fgsm")
    with pytest.raises(StudyError, match="each needs at least one image"):
        uap(network, images.pixels[:2], INF, seed=0, count=3)
    with pytest.raises(StudyError, match="norm"):
        Threat(1, 10.0)


def test_a_far_target_has_a_gradient(linear: Callable[..., nn.Sequential], images: Images) -> None:
    """Where every image is more than the clipped loss away from the class aimed at, the attack still moves towards it."""
    network, target = linear(), 2
    with torch.no_grad():
        next(layer for layer in network if isinstance(layer, nn.Linear)).bias[target] -= 1e4
    far = nn.functional.cross_entropy(network(images.pixels.float()), torch.full((len(images),), target), reduction="none")
    assert float(far.min()) > 9
    bank = spgd(network, images.pixels, INF, seed=0, count=1, passes=1, batch=48, towards=target)
    margin = network(images.pixels.float() + bank.perturbations[0])[:, target] - network(images.pixels.float())[:, target]
    assert float(margin.min()) > 0
