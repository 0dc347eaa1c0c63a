"""A training that was killed, and one that was not: the same bytes."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from regen_lib.core.images import Images
from regen_lib.core.storage import weights_hash
from regen_lib.networks.blocks import initialise
from regen_lib.networks.caffenet import caffenet
from regen_lib.training import loop
from regen_lib.training.loop import fit
from regen_lib.training.noise import Noise
from regen_lib.training.recipe import Recipe
from tests.conftest import TASK, draw

RECIPES = [Recipe(4, 0.05, batch=16), Recipe(4, 1e-3, batch=16, optimizer="adamw", schedule="cycle")]


def fresh() -> nn.Module:
    """With dropout: its generator has to be put back too."""
    return initialise(caffenet(TASK, width=0.0625, stem=(3, 1), padding=1, hidden=8), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.optimizer)
def test_goes_on_from_the_last_whole_epoch(tmp_path: Path, images: Images, monkeypatch: pytest.MonkeyPatch, recipe: Recipe) -> None:
    noise = Noise(draw(3, *TASK.shape) * 20)
    whole = fresh()
    losses = fit(whole, [whole], images, recipe, seed=0, name="a net", noise=noise)
    real, calls = loop.train_epoch, []

    def killed(*arguments: Any) -> float:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(loop, "train_epoch", killed)
    broken = fresh()
    with pytest.raises(KeyboardInterrupt):
        fit(broken, [broken], images, recipe, seed=0, name="a net", noise=noise, resume=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a-net.safetensors"]
    again = fresh()
    assert fit(again, [again], images, recipe, seed=0, name="a net", noise=noise, resume=tmp_path) == losses
    assert len(calls) == 3 + 2  # the two epochs that were missing
    assert weights_hash(again) == weights_hash(whole)
    assert not list(tmp_path.iterdir())


def test_another_training_of_that_name_starts_anew(tmp_path: Path, images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    real = loop.train_epoch
    epochs: list[int] = []

    def counted(*arguments: Any) -> float:
        epochs.append(1)
        if len(epochs) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(loop, "train_epoch", counted)
    one = fresh()
    with pytest.raises(KeyboardInterrupt):
        fit(one, [one], images, RECIPES[0], seed=0, name="net", resume=tmp_path)
    other = fresh()
    fit(other, [other], images, RECIPES[0], seed=1, name="net", resume=tmp_path)
    assert len(epochs) == 2 + 4


def test_precision(images: Images, network: nn.Module) -> None:
    """bfloat16 changes the losses a little, and leaves float32 weights."""
    found = []
    for precision in ("float32", "bfloat16"):
        trained = copy.deepcopy(network)
        found.append(fit(trained, [trained], images, Recipe(1, 0.01, batch=16, precision=precision), seed=0, name="n")[0])
        assert all(p.dtype == torch.float32 for p in trained.parameters())
    assert found[0] != found[1]
    assert found[1] == pytest.approx(found[0], rel=0.1)
