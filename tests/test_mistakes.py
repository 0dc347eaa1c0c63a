"""What a user may get wrong with the public functions: each says what was given, and what to give instead."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

import regen_lib as rl
from tests.conftest import rng
from tests.test_contract import IMAGES, INF, small

X, NETWORK = IMAGES.pixels, small().eval()
V = torch.full((2, 3, 12, 12), 20.0)
BANK = rl.Bank(V, INF, "signs", "Sequential", "hash", 0, (0.0, 0.0))
ONE, SHORT = torch.ones(16, dtype=torch.long), torch.ones(3, dtype=torch.long)
TWO_STEPS = {"seed": 0, "count": 2, "passes": 1, "batch": 4}
RECIPE = rl.Recipe(1, 0.1, batch=8)


def units(layers: object, **options: object) -> nn.Module:
    return rl.train_units(NETWORK, IMAGES, BANK, layers, recipe=RECIPE, **{"synthetic": 4, **options})


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "a function": (lambda: rl.predict(lambda x: x, X), "the network is a function: give a torch.nn.Module"),
    "TorchScript": (lambda: rl.spgd(torch.jit.script(small().eval()), X, INF, **TWO_STEPS), r"give nn.Sequential\(network\)"),
    "a number for a threat": (lambda: rl.spgd(NETWORK, X, 10.0, **TWO_STEPS), r"a float: give regen_lib.Threat\(norm, xi\)"),
    "text for xi": (lambda: rl.Threat(2, "10"), "xi '10' and target 0.8: give numbers"),
    "text for a norm": (lambda: rl.Threat("inf", 10), "norm 'inf': give math.inf"),
    "a bank for its tensor": (lambda: rl.predict(NETWORK, X, BANK), r"perturbations are a Bank.*bank.perturbations"),
    "too few choices": (lambda: rl.predict(NETWORK, X, V, SHORT), r"give int64 \[16\], a perturbation for each image"),
    "a choice that is not there": (lambda: rl.predict(NETWORK, X, V, ONE * 2), "from 2 to 2: the perturbations are 0 to 1"),
    "too few choices to mask": (lambda: rl.masked_predictions(NETWORK, "0", torch.tensor([0]), X, V, SHORT), r"give int64 \[16\]"),
    "a bank alone": (lambda: rl.evaluate({"undefended": NETWORK}, IMAGES, BANK), "evaluate was given no Mapping"),
    "a tensor for a bank": (
        lambda: rl.evaluate({"undefended": NETWORK}, IMAGES, {"a": cast(Any, V)}),
        "evaluate was given no Bank under 'a'",
    ),
    "pixels for images": (lambda: rl.evaluate({"undefended": NETWORK}, X, {"a": BANK}), "evaluate was given no Images"),
    "too few labels": (lambda: rl.evaluate({"undefended": NETWORK}, rl.Images(X, SHORT), {"a": BANK}), r"shape \(3,\) for 16 images"),
    "too few labels to train": (
        lambda: rl.fit(small(), [], rl.Images(X, SHORT), RECIPE, seed=0, name="t"),
        r"labels of shape \(3,\) for 16 images",
    ),
    "no layer": (lambda: units([]), r"layers \[\]: give a list of one or more"),
    "a name for layers": (lambda: units("0"), "layers '0': give a list of one or more"),
    "nothing to train on": (lambda: units(["0"], synthetic=0), "synthetic is 0: give a whole number, 1 or more"),
    "no image to calibrate on": (lambda: units(["0"], calibration=0), "calibration is 0: give a whole number, 1 or more, or null"),
    "more images than there are": (lambda: units(["0"], calibration=99), "99 images asked for, 16 are there"),
    "half an epoch": (lambda: rl.Recipe(1.5, 0.1), "epochs is 1.5: give a whole number, 1 or more"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named_with_the_remedy(mistake: str) -> None:
    make, said = MISTAKES[mistake]
    with pytest.raises(rl.StudyError, match=said):
        make()


def test_paths_may_be_text(tmp_path: Path) -> None:
    rl.save_bank(f"{tmp_path}/bank.safetensors", BANK)
    assert torch.equal(rl.load_bank(f"{tmp_path}/bank.safetensors").perturbations, V)
    defended = rl.regenerate(NETWORK, ["0"], generator=rng())
    rl.save_units(f"{tmp_path}/units.safetensors", defended, network=NETWORK, layers=["0"], ratio=0.5, width=1.0)
    assert torch.equal(rl.load_units(f"{tmp_path}/units.safetensors", NETWORK)(X.float()), defended(X.float()))
    with pytest.raises(rl.StudyError, match="is missing"):
        rl.load_network(f"{tmp_path}/network.safetensors")
