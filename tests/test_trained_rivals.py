"""Rivals that are trained, against the literal objective, closed forms and brute force."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from regen_lib import defenses
from regen_lib.core.batch_norm import BatchNorm2d
from regen_lib.core.images import Images
from regen_lib.defenses._shared.base import TrainingData
from regen_lib.defenses._shared.retraining import Retrained, mixed_loss, perturbation
from regen_lib.defenses.democratic_training import entropy, features, low_entropy
from regen_lib.defenses.feature_denoising import NonLocal, feature_denoising
from regen_lib.defenses.hgd import hgd, loss
from regen_lib.defenses.universal_adversarial_training import Universal
from regen_lib.training.noise import Noise
from tests.conftest import draw, linear_network, rng
from tests.test_defenses import RECIPE, SPECS


def test_hgd_starts_as_the_network_and_learns_its_logits(network: nn.Module, images: Images, training_data: TrainingData) -> None:
    x, noise = images.pixels.float(), Noise(training_data.bank.perturbations, 1.0)
    fresh = hgd(network, channels=1, width=4)
    nn.init.zeros_(fresh.denoiser.last.weight)
    nn.init.zeros_(fresh.denoiser.last.bias)
    torch.testing.assert_close(fresh.eval()(x), network(x))
    by_hand = (network(noise(x, rng(3))) - network(x)).abs().mean()
    assert float(loss(fresh, noise, "logits", x, torch.zeros(0), rng(3))) == pytest.approx(float(by_hand), rel=1e-4)
    long = {**SPECS["hgd"], "recipe": {**RECIPE, "epochs": 30}, "training": {"probability": 1.0}}
    trained = defenses.make("hgd", network, long, training_data, seed=0)
    assert float(loss(trained, noise, "logits", x, torch.zeros(0), rng(3))) < 0.8 * float(by_hand)


def test_prn_learns_the_clean_prediction(network: nn.Module, images: Images, training_data: TrainingData) -> None:
    """The labels are not its business: with all labels wrong it still brings the network's own prediction back."""
    wrong = TrainingData(
        Images(images.pixels, (network(images.pixels.float()).argmax(1) + 1) % 4), training_data.bank, training_data.layers
    )
    spec = {"options": {"maps": 8, "blocks": 1}, "recipe": {**RECIPE, "epochs": 60, "rate": 5e-3}}
    defended = defenses.make("prn", network, spec, wrong, seed=0)
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
            (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(smooth(x[one : one + 1] + leaf), y[one : one + 1]), leaf)
            v = (v + 2.5 * 10 / 3 * gradient.sign()).clamp(-10, 10)
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


def of_kind(kind: Callable[[int], nn.Module]) -> nn.Module:
    """Batch normalisation of that kind after a convolution, or of features."""
    norm = kind(4)
    head = (norm, nn.Linear(4, 4)) if isinstance(norm, nn.BatchNorm1d) else (nn.Linear(4, 4),)
    body = () if isinstance(norm, nn.BatchNorm1d) else (norm,)
    return nn.Sequential(nn.Conv2d(1, 4, 3), *body, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), *head).eval()


@pytest.mark.parametrize(
    "kind", [nn.BatchNorm2d, nn.BatchNorm1d, nn.SyncBatchNorm, BatchNorm2d, lambda maps: nn.BatchNorm2d(maps, affine=False)]
)
def test_batch_normalisation_of_every_kind_settles(training_data: TrainingData, kind: Callable[[int], nn.Module]) -> None:
    network = of_kind(kind)
    spec = {**SPECS["democratic_training"], "training": {"epsilon": 8, "settled": True}}
    model = defenses.make("democratic_training", network, spec, training_data, seed=0).own()[0]
    (before,), (after,) = ([m for m in n.modules() if isinstance(m, _BatchNorm)] for n in (network, model))
    for key, value in before.named_buffers():
        assert torch.equal(after.get_buffer(key), value)
    assert type(after) is type(before)
    assert not torch.equal(network[0].weight, model[0].weight)
    assert after.train().training  # it is a plain one again


@pytest.mark.parametrize("settled", [False, True])
def test_democratic_training_may_keep_the_statistics_of_batch_normalisation(
    network: nn.Module, training_data: TrainingData, settled: bool
) -> None:
    """Scale and shift are trained either way; what is kept is what a plain network's file holds."""
    spec = {**SPECS["democratic_training"], "training": {"epsilon": 8, "settled": settled}}
    defended = defenses.make("democratic_training", network, spec, training_data, seed=0)
    before, after = network.state_dict(), defended.own()[0].state_dict()
    assert list(before) == list(after)
    changed = {key.rpartition(".")[2] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"weight", "bias"} | (set() if settled else {"running_mean", "running_var", "num_batches_tracked"})
    x, plain = training_data.images.pixels[:6].float(), Retrained(network).eval()
    plain.own()[0].load_state_dict(after)
    assert torch.equal(plain(x), defended(x))
