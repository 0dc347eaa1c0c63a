"""The lines of Python that the notebooks' prose shows, run, and compared with the library."""

import math
import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import nbformat
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from regen_lib.attacks._shared.deepfool import deepfool
from regen_lib.attacks.spgd import spgd as library_spgd
from regen_lib.attacks.uap import uap as library_uap
from regen_lib.core import metrics
from regen_lib.core.images import Images
from regen_lib.core.perturbations import Bank, Threat
from regen_lib.core.seeding import generator
from regen_lib.defenses._shared.base import straight_through
from regen_lib.regeneration import hardening, masking, ranking, synthesis
from regen_lib.regeneration.unit import Regenerated, Unit
from regen_lib.training.noise import Noise
from tests.conftest import draw, rng
from tests.repository import REPOSITORY

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMPARED = {"00c", "01", "02", "03", "04", "05", "06", "07a", "07b"}


def blocks(number: str) -> list[str]:
    (path,) = (REPOSITORY / "notebooks").glob(f"{number}_*.ipynb")
    return [block for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown" for block in BLOCK.findall(cell.source)]


def shown(number: str) -> dict[str, Any]:
    """What the prose of a notebook defines."""
    names: dict[str, Any] = {"torch": torch, "nn": nn, "cross_entropy": cross_entropy}
    exec("\n".join(blocks(number)), names)
    return names


def test_every_block_is_compared() -> None:
    numbers = [path.name.partition("_")[0] for path in (REPOSITORY / "notebooks").glob("[0-9]*.ipynb")]
    assert {number for number in numbers if blocks(number)} == COMPARED


def start_from(state: torch.Generator) -> None:
    """Let the prose, which draws from torch's own generator, draw what the library draws from ``state``."""
    torch.set_rng_state(state.get_state())


def test_uap(smooth: nn.Module, images: Images) -> None:
    def step(model: nn.Module, x: Tensor) -> Tensor:
        change, taken = deepfool(model, x, classes=3)
        return change * (taken < 9)  # the last of ten steps may not have crossed

    bank = library_uap(smooth, images.pixels[:24], Threat(math.inf, 25.0, 1.0), seed=4, count=1, passes=1, batch=1, classes=3)
    start_from(generator(4, "uap", 0))
    v = shown("00c")["uap"](smooth, images.pixels[:24].float(), step, 25.0, 1.0, 1)
    assert bank.fooling[0] > 0.1
    torch.testing.assert_close(v, bank.perturbations, rtol=1e-3, atol=1e-2)


def test_bound_and_rank() -> None:
    names, conv = shown("01"), nn.Conv2d(3, 7, 3, bias=False)
    u, r = draw(2, 3, 9, 9), draw(1, 3, 9, 9, seed=1)
    torch.testing.assert_close(names["bound"](conv, r)[None], ranking.noise_bound(conv, r))
    assert names["ranking"](conv).tolist() == ranking.rank(conv).tolist()
    pixels, v = torch.randint(0, 256, (2, 3, 9, 9), generator=rng(), dtype=torch.uint8), r * 10
    observed, _ = ranking.observed_noise(nn.Sequential(conv).eval(), ["0"], pixels, v)["0"]
    torch.testing.assert_close(names["noise"](conv, pixels.float(), v), observed.amax(0), rtol=1e-4, atol=1e-3)
    assert (names["noise"](conv, u, r) <= names["bound"](conv, r) * (1 + 1e-5)).all()


def test_masking() -> None:
    conv, clean, perturbed = nn.Conv2d(3, 6, 3), draw(4, 3, 8, 8), draw(4, 3, 8, 8, seed=1)
    filters = torch.tensor([4, 1])
    with torch.no_grad():
        expected = masking.Masked(conv, filters)(torch.cat([clean, perturbed]))[4:]
        assert torch.equal(shown("02")["masked"](conv, clean, perturbed, filters), expected)


def test_algorithm_1() -> None:
    bank = draw(6, 1, 4, 5) * torch.linspace(20, 30, 6).view(-1, 1, 1, 1)
    for seed in range(5):
        torch.manual_seed(seed)
        v = shown("03")["algorithm1"](bank.double(), synthesis.threshold(bank))
        expected = synthesis.synthesize(bank, synthesis.walk(bank, 1, rng=rng(seed)))[0]
        torch.testing.assert_close(v.float(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_unit(training: bool) -> None:
    names, conv, filters = shown("04"), nn.Conv2d(3, 10, 3), torch.tensor([7, 2, 5])
    unit = Unit(filters, 4).train(training)
    literal = names["Unit"](3, 4).train(training)
    ours = [unit.conv1, unit.bn1, unit.conv2, unit.bn2, unit.conv3, unit.bn3, unit.conv4]
    for theirs, mine in zip([m for m in literal if not isinstance(m, nn.ReLU)], ours, strict=True):
        theirs.load_state_dict(mine.state_dict(), strict=False)
    u = draw(5, 3, 9, 9)
    expected = Regenerated(conv, unit)(u)
    torch.testing.assert_close(names["regenerated"](conv, literal, filters, u), expected, rtol=1e-4, atol=1e-5)
    assert not torch.equal(expected, conv(u))


def test_objective(network: nn.Module, images: Images) -> None:
    x, v = images.pixels.float(), draw(3, *images.pixels.shape[1:]) * 60
    torch.manual_seed(2)
    loss = shown("04")["objective"](network, x, images.labels, v, 0.4)
    torch.testing.assert_close(loss, cross_entropy(network(Noise(v, 0.4)(x.clone(), rng(2))), images.labels))


def test_restoration(network: nn.Module, linear: Any, images: Images) -> None:
    defended, x, y, v = linear(), images.pixels.float(), images.labels, draw(1, *images.pixels.shape[1:]) * 60
    clean, kept, perturbed = network(x).argmax(1) == y, defended(x).argmax(1) == y, defended(x + v).argmax(1) == y
    expected = metrics.restoration(clean, kept, perturbed)[0]
    assert float(shown("05")["restoration"](network, defended, x, y, v)) == pytest.approx(expected)


def test_fooling_ratio_and_strength(linear: Any, images: Images) -> None:
    names, network, x = shown("06"), linear(), images.pixels.float()
    bank = Bank(draw(1, *images.pixels.shape[1:]).clamp(-1, 1) * 60, Threat(math.inf, 60.0), "test", "test", "", 0, (0.5,), ())
    v = names["scaled"](bank.perturbations, 30)
    torch.testing.assert_close(v, bank.scaled(30).perturbations)
    expected = metrics.fooling_ratio(network(x).argmax(1), network(x + v).argmax(1))
    assert float(names["fooling_ratio"](network, x, v)) == expected > 0


def test_hardening(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same perturbations reach the training, round by round."""
    bank, found = draw(2, 1, 2, 2), list(draw(3, 2, 1, 2, 2, seed=1))

    def first(count: int, v: Tensor) -> Tensor:
        return v.repeat(count, 1, 1, 1)[:count] + len(v)

    class Made:
        def __init__(self, v: Tensor) -> None:
            self.perturbations, self.fooling = v, (0.5, 0.5)

        def __len__(self) -> int:
            return 2

    def fit(*_: Any, noise: Noise, **__: Any) -> Sequence[float]:
        met.append(noise.perturbations)
        return [0.0]

    made = iter(found)
    met: list[Tensor] = []
    ours: list[Tensor] = []
    monkeypatch.setattr(hardening, "make", lambda *_, **__: Made(next(made)))
    monkeypatch.setattr(hardening.synthesis, "make", lambda _, v, __, count, **___: first(count, v))
    monkeypatch.setattr(hardening, "fit", fit)
    start = Bank(bank, Threat(math.inf, 9.0), "test", "test", "", 0, (0.5, 0.5), ())
    plan = {"rounds": 3, "count": 8, "probability": 0.5, "old_bank_share": 0.25, "seed": 0, "name": "test"}
    list(hardening.harden(nn.Identity(), start, {"train": None}, {"uap": {}}, None, **plan))  # type: ignore[dict-item]
    again = iter(found)
    harden = shown("07a")["harden"]
    harden(None, bank, 3, lambda _: next(again), lambda v, count: first(count, v), lambda _, v: ours.append(v), 2, 6)
    assert len(met) == 3
    for theirs, mine in zip(ours, met, strict=True):
        assert torch.equal(theirs, mine)


def test_spgd(network: nn.Module, images: Images) -> None:
    clean = network(images.pixels.float()).argmax(1)
    attack = partial(library_spgd, network, images.pixels, Threat(math.inf, 40.0, 1.0), seed=1, count=1, passes=1, batch=16, step=0.2)
    start_from(generator(1, "spgd", 0))
    v = shown("07b")["spgd"](network, images.pixels.float(), clean, 40.0, 0.2, 1, 16)
    torch.testing.assert_close(v, attack().perturbations)


def test_straight_through() -> None:
    x = draw(3).requires_grad_()
    for function in (shown("07b")["straight_through"], straight_through):
        y = function(x, x.round())
        assert torch.equal(y, x.round())
        (gradient,) = torch.autograd.grad(y.square().sum(), x)
        assert torch.equal(gradient, 2 * x.round())
