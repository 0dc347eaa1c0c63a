"""What is easily given in the place of another thing: seeds, parts, numbers and sizes. Said at once; nothing is changed by it."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import regen_lib as rl
from regen_lib.core import options
from regen_lib.core.seeding import generator
from regen_lib.core.storage import weights_hash
from regen_lib.regeneration.unit import units
from regen_lib.training.crops import crops
from regen_lib.training.noise import Noise
from tests.conftest import draw, rng
from tests.test_contract import IMAGES, INF, small

X, NETWORK = IMAGES.pixels, small().eval()
V = torch.full((2, 3, 12, 12), 20.0)
BANK = rl.Bank(V, INF, "signs", "Sequential", "hash", 0, (0.0, 0.0))
RECIPE = rl.Recipe(1, 0.1, batch=8)


@pytest.mark.parametrize("seed", [np.int64(3), np.uint8(3), torch.tensor(3)])
def test_a_seed_is_what_it_stands_for(seed: Any) -> None:
    assert torch.equal(torch.rand(4, generator=generator(seed, "w")), torch.rand(4, generator=generator(3, "w")))
    theirs, ours = (rl.random_signs(NETWORK, X, INF, seed=each, count=2) for each in (seed, 3))
    assert torch.equal(theirs.perturbations, ours.perturbations)
    assert type(theirs.seed) is int


def test_draws_are_those_of_before() -> None:
    """By constants: a table made with an older version is made again with the same numbers."""
    drawn = torch.randint(1000, (4,), generator=generator(0, "uap", 1))
    assert drawn.tolist() == [587, 297, 649, 468]


SEEDS: dict[str, Callable[[Any], object]] = {
    "generator": lambda seed: generator(seed, "w"),
    "spgd": lambda seed: rl.spgd(NETWORK, X, INF, seed=seed, count=2, passes=1, batch=4),
    "bank": lambda seed: rl.Bank(V, INF, "signs", "n", "h", seed, (0.0, 0.0)),
    "defend": lambda seed: rl.defend("jpeg", NETWORK, IMAGES, BANK, seed=seed),
    "evaluate": lambda seed: rl.evaluate({"undefended": NETWORK}, IMAGES, {"a": BANK}, seed=seed),
    "train_units": lambda seed: rl.train_units(NETWORK, IMAGES, BANK, ["0"], recipe=RECIPE, synthetic=4, seed=seed),
    "fit": lambda seed: rl.fit(small(), [], IMAGES, RECIPE, seed=seed, name="t"),
}


@pytest.mark.parametrize("door", SEEDS)
@pytest.mark.parametrize("seed", [None, "a", 1.5, True, torch.tensor(True), torch.tensor([1, 2]), np.float64(1)])
def test_no_other_seed_is_taken(door: str, seed: Any) -> None:
    with pytest.raises(rl.StudyError, match=r"seed is .*: give a whole number"):
        SEEDS[door](seed)


def test_a_training_is_the_same_whoever_wrote_its_seed(tmp_path: Path) -> None:
    """With a folder for its epochs, which are told apart by the seed, too."""
    networks = [small(), small()]
    for network, seed in zip(networks, (3, np.int64(3)), strict=True):
        rl.fit(network, [network], IMAGES, RECIPE, seed=seed, name="t", resume=tmp_path)
    assert weights_hash(networks[0]) == weights_hash(networks[1])


def normalised(mean: Any, std: Any, scale: Any = 255.0, model: Any = NETWORK) -> nn.Module:
    return rl.from_pixels(model, mean, std, scale=scale)


def trained(images: Any = IMAGES, network: Any = NETWORK, bank: Any = BANK, layers: Any = ("0",), **other: Any) -> nn.Module:
    return rl.train_units(network, images, bank, layers, **{"recipe": RECIPE, "synthetic": 4, **other})


def walks(count: Any = 2, bank: Tensor = V) -> Any:
    return rl.walk(bank, count, rng=rng(), eta_scale=0.5)


def predicted(**other: Any) -> Tensor:
    return rl.predict(NETWORK, X, V, **other)


def fitted(trainable: Any = None, network: Any = None, recipe: Any = RECIPE, images: Any = IMAGES, **other: Any) -> list[float]:
    network = small() if network is None else network
    return rl.fit(network, [network] if trainable is None else trainable, images, recipe, **{"seed": 0, "name": "t", **other})


class Whole(nn.Module):
    """A network that is no list of its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def on(side: int, attack: str, **other: Any) -> rl.Bank:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).eval()
    return getattr(rl, attack)(network, X[:, :, :side, :], INF, seed=0, count=1, **other)


PIXELS, MEAN = ((0.5,) * 3,) * 2, "mean is .*: give a list, each a number"
CALLS: dict[str, tuple[Callable[[], object], str]] = {
    "a mean that is a tensor": (lambda: normalised(torch.ones(3) / 2, torch.ones(3)), MEAN),
    "a mean that is an array": (lambda: normalised(np.ones(3) / 2, np.ones(3)), MEAN),
    "a mean that is a number": (lambda: normalised(0.5, 0.5), "mean is 0.5: give a list, each a number"),
    "a deviation that is a number": (lambda: normalised((0.5,), 0.5), "std is 0.5: give a list, each a number"),
    "a mean of NaN": (lambda: normalised((math.nan,), (1.0,)), MEAN),
    "a scale of text": (lambda: normalised(*PIXELS, scale="255"), "scale is '255': give a number above 0"),
    "a model that is none": (lambda: normalised(*PIXELS, model="resnet18"), "model is 'resnet18': give a Module"),
    "evaluate: clip": (
        lambda: rl.evaluate({"undefended": NETWORK}, IMAGES, {"a": BANK}, clip="no"),
        "^evaluate: clip is 'no': give true or false",
    ),
    "predict: clip": (lambda: predicted(clip="no"), "^predict: clip is 'no': give true or false"),
    "noise: clip": (lambda: Noise(V, 0.5, "no"), "^Noise: clip is 'no': give true or false"),
    "noise: probability": (lambda: Noise(V, "half"), "^Noise: probability is 'half': give a number"),
    "predict: choice": (lambda: predicted(choice=[0] * 16), r"a choice of list: give a tensor of int64 \[16\]"),
    "units of a pair": (lambda: trained((X, IMAGES.labels)), r"a tuple: give regen_lib.Images\(pixels, labels\)"),
    "units of no network": (lambda: trained(network=None), "^train_units: network is None: give a Module"),
    "units of no bank": (lambda: trained(bank=[V]), r"^train_units: bank is \[tensor.*\.\.\.: give a Bank, or a Tensor$"),
    "units of no layers": (lambda: trained(layers=None), "layers None: give a list of one or more names"),
    "units of a width of 0": (lambda: trained(layers={"0": 0}), r"layers is \{'0': 0\}: give keys with values, each a whole number, 1 or"),
    "units: recipe": (lambda: trained(recipe={}), r"^train_units: recipe is \{\}: give a Recipe"),
    "units: ratio": (lambda: trained(ratio="half"), "^train_units: ratio is 'half': give a number above 0 and at most 1"),
    "units: width": (lambda: trained(width=math.nan), "^train_units: width is nan: give a number above 0"),
    "units: synthetic": (lambda: trained(synthetic=2.5), "^train_units: synthetic is 2.5: give a whole number, 1 or more"),
    "units: calibration": (lambda: trained(calibration=-5), "^train_units: calibration is -5: give a whole number, 1 or more, or null"),
    "units: resume": (lambda: trained(resume=5), "^train_units: resume is 5: give a Path, or a text, or null"),
    "regenerate: width": (
        lambda: rl.regenerate(NETWORK, ["0"], width=math.nan, generator=rng()),
        "^regenerate: width is nan: give a number",
    ),
    "regenerate: ratio": (lambda: rl.regenerate(NETWORK, ["0"], ratio="1", generator=rng()), "^regenerate: ratio is '1': give a number"),
    "regenerate: generator": (lambda: rl.regenerate(NETWORK, ["0"], generator=0), "^regenerate: generator is 0: give a Generator"),
    "regenerate: network": (lambda: rl.regenerate("net", ["0"], generator=rng()), "the network is a str: give a torch.nn.Module"),
    "walk: count": (lambda: walks(-1), "^walk: count is -1: give a whole number, 0 or more"),
    "another bank's walks": (
        lambda: rl.synthesize(V, walks(bank=draw(3, 3, 12, 12))),
        "walks over 3 perturbations, the bank has 2: give the bank that they were walked in",
    ),
    "no walks": (lambda: rl.synthesize(V, V), "^synthesize: walks is .*: give a Walks"),
    "fit: trainable": (lambda: fitted(Whole(), Whole()), r"trainable is a Whole: give a list of the modules to train, \[network\] for all"),
    "fit: a dictionary": (lambda: fitted({"a": small()}), "trainable is a dict: give a list of the modules"),
    "fit: recipe": (lambda: fitted(recipe=None), "^fit: recipe is None: give a Recipe"),
    "fit: noise": (lambda: fitted(noise=V), "^fit: noise is .*: give a Noise, or null"),
    "fit: objective": (lambda: fitted(objective="ce"), "^fit: objective is 'ce': give an Objective, or null"),
    "fit: images": (lambda: fitted(images=X), "a Tensor: give regen_lib.Images"),
    "start": (lambda: rl.start("1"), "^start: threads is '1': give a whole number, 1 or more"),
    "defend: recipe": (lambda: rl.defend("jpeg", NETWORK, IMAGES, BANK, recipe={}), r"^defend: recipe is \{\}: give a Recipe, or null"),
    "defend: layers": (lambda: rl.defend("jpeg", NETWORK, IMAGES, BANK, layers="0"), "^defend: layers is '0': give a list, each a text"),
    "defend: built_on": (lambda: rl.defend("jpeg", NETWORK, IMAGES, BANK, built_on="prn"), "^defend: built_on is 'prn': give a Defended"),
    "all but one image": (lambda: IMAGES.first(-1), "^images: count is -1: give a whole number, 0 or more"),
    "half an image": (lambda: IMAGES.first(2.5), "^images: count is 2.5: give a whole number, 0 or more"),
    "gap on little": (lambda: on(4, "gap"), "^gap on images 4 x 12: it takes sides of 5 or more; enlarge them, or choose another attack"),
    "gd_uap on a line": (lambda: on(1, "gd_uap"), "^gd_uap on images 1 x 12: it takes sides of 2 or more"),
}


@pytest.mark.parametrize("call", CALLS)
def test_calls_are_refused_with_the_remedy(call: str) -> None:
    make, said = CALLS[call]
    with pytest.raises(rl.StudyError, match=said) as caught:
        make()
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def test_the_least_sides_that_gap_and_gd_uap_take() -> None:
    assert len(on(5, "gap", passes=1, batch=4)) == 1
    assert len(on(2, "gd_uap", steps=20, check=10)) == 1
    assert len(on(1, "gd_uap", prior="none", steps=2, check=1)) == 1


def test_a_folder_may_be_text(tmp_path: Path) -> None:
    """As it is everywhere."""
    made = [trained(calibration=4, resume=folder) for folder in (None, str(tmp_path / "kept"), tmp_path / "kept")]
    assert len({weights_hash(each) for each in made}) == 1
    assert (tmp_path / "kept").is_dir()


def test_units_are_calibrated_once_and_before_they_are_trained() -> None:
    for defended in (trained(), trained(calibration=4), rl.regenerate(NETWORK, ["0"], generator=rng())):
        if not units(defended)["0"].bn1.num_batches_tracked:
            rl.calibrate(defended, X)
        before = weights_hash(defended)
        with pytest.raises(rl.StudyError, match="the unit on 0 was calibrated or trained before: calibrate new ones, of regenerate"):
            rl.calibrate(defended, X[:4])
        assert weights_hash(defended) == before


@pytest.mark.parametrize("rate", [1e30, None])
def test_a_training_that_fails_leaves_the_network_frozen(rate: float | None) -> None:
    """And one that is interrupted."""

    def interrupted(x: Tensor, y: Tensor, rng: torch.Generator) -> Tensor:
        raise KeyboardInterrupt

    network = small().eval()
    with pytest.raises((rl.StudyError, KeyboardInterrupt), match=r"^$|lower the rate \(1e\+30\), and begin with the weights of before"):
        fitted(network=network, recipe=rl.Recipe(1, rate or 0.1, batch=8), objective=None if rate else interrupted)
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_parts_of_a_list_of_modules_are_trained() -> None:
    network = small()
    assert len(fitted(nn.ModuleList([network[0]]), network)) == 1


@pytest.mark.parametrize("padding", [12, 13, 40])
def test_a_margin_is_smaller_than_the_image(padding: int) -> None:
    with pytest.raises(rl.StudyError, match=rf"crop {padding} of images 12 x 14: a margin is their reflection, so give at most 11"):
        crops(torch.zeros(2, 3, 12, 14), padding, rng())
    with pytest.raises(rl.StudyError, match="so give None"):
        crops(torch.zeros(2, 3, 1, 14), padding, rng())
    assert crops(draw(2, 3, 12, 14), 11, rng()).shape == (2, 3, 12, 14)
    network = small()
    with pytest.raises(rl.StudyError, match=f"crop {padding} of images 12 x 12"):
        fitted(network=network, recipe=rl.Recipe(1, 0.1, batch=8, crop=padding))


def test_the_detector_is_trained_on_as_many_images_as_asked_for() -> None:
    """``images`` is an option of prn_det, and was the name of a parameter of defend."""
    how = {"maps": 2, "blocks": 1}
    prn = rl.defend("prn", NETWORK, IMAGES, BANK, recipe=RECIPE, **how)
    found = rl.defend("prn_det", NETWORK, IMAGES, BANK, built_on=prn, images=8, **how)
    assert bool(found.weight.any())
    with pytest.raises(rl.StudyError, match=r"training.images is 2: give a whole number, 4 or more"):
        rl.defend("prn_det", NETWORK, IMAGES, BANK, built_on=prn, images=2, **how)


def test_long_values_are_cut_and_stand_in_a_line() -> None:
    assert options.shown(torch.zeros(100, 100)) == f"{repr(torch.zeros(100, 100)).replace(chr(10), ' ')[: options.SHOWN]}..."
    assert options.shown("a  b") == "'a  b'"
