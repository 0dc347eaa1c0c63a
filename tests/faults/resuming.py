"""A training killed after an epoch, and begun again after something has changed: never a mixture of the two."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from regen_lib.core.images import Images
from regen_lib.core.storage import weights_hash
from regen_lib.training import loop
from regen_lib.training.loop import fit
from regen_lib.training.noise import Noise
from regen_lib.training.recipe import Recipe
from tests.faults.artifacts import images
from tests.faults.fault import Fault, LeftoverError, expect
from tests.suite import TASK, network_of

RECIPE = Recipe(3, 0.05, batch=16)
Arguments = dict[str, Any]


def noise(seed: int, probability: float = 0.5) -> Noise:
    """Perturbations for a training."""
    return Noise(torch.randn(3, *TASK.shape, generator=torch.Generator().manual_seed(seed)) * 20, probability)


def base() -> Arguments:
    """A training's arguments, all that makes its result."""
    how = {"net": 5, "images": images(), "recipe": RECIPE, "seed": 0, "noise": noise(1), "objective": None, "parts": slice(None)}
    return {**how, "hook": None}


def smoothed(network: nn.Module, x: Tensor, y: Tensor, rng: torch.Generator) -> Tensor:
    """Another objective."""
    return nn.functional.cross_entropy(network(x), y, label_smoothing=0.3)


def sharp(network: nn.Module, x: Tensor, y: Tensor, rng: torch.Generator) -> Tensor:
    """And another."""
    return nn.functional.cross_entropy(network(x) * 2, y)


SCRIPT = """
import torch
from torch.nn.functional import cross_entropy

SMOOTHING = 0.1
WEIGHTS = {"loss": torch.tensor(1.5)}

def made(factor):
    return lambda loss: loss * factor

stretched = made(1.25)

def raised(loss, power=1.75):
    return loss**power

class Objective:
    share = 0.875

    def __init__(self):
        self.given = 0.625

    @staticmethod
    def fixed():
        return 1.125

    @property
    def shown(self):
        return 1.375

    def __call__(self, network, x, y, rng):
        loss = cross_entropy(network(x), y, label_smoothing=SMOOTHING) * WEIGHTS["loss"]
        return stretched(raised(loss)) * self.share * self.given * self.fixed() * self.shown
"""
EDITS = {  # by the number in the script that is another
    "a global": "0.1",
    "a tensor in a global": "1.5",
    "a helper's closure": "1.25",
    "a helper's default": "1.75",
    "a class attribute": "0.875",
    "an attribute": "0.625",
    "a static method": "1.125",
    "a property": "1.375",
}
OUTSIDE: dict[str, object] = {"SMOOTHING": 0.3, "WEIGHTS": {"loss": torch.tensor(0.5)}}  # from the command line, say: the file is the same


def written(text: str, file: str | None, **outside: object) -> Arguments:
    """A training whose objective a script makes that lies in a ``file``, or was typed or piped; ``outside`` are other globals of it."""
    module = ModuleType("script")
    module.__file__ = file
    sys.modules["script"] = module
    exec(text, vars(module))
    vars(module).update(outside)
    return {**base(), "objective": module.Objective()}


def relabelled(given: Images) -> Images:
    """Other labels of the same images."""
    return Images(given.pixels, (given.labels + 1) % 4)


CHANGES: dict[str, Callable[[Arguments], Arguments]] = {
    "nothing": lambda a: {},
    "the labels": lambda a: {"images": relabelled(a["images"])},
    "one label": lambda a: {"images": Images(a["images"].pixels, a["images"].labels.index_fill(0, torch.tensor([7]), 0))},
    "the pixels": lambda a: {"images": Images(255 - a["images"].pixels, a["images"].labels)},
    "one pixel": lambda a: {"images": Images(a["images"].pixels.clone().index_fill_(0, torch.tensor([3]), 9), a["images"].labels)},
    "the order of the images": lambda a: {"images": Images(a["images"].pixels.flip(0), a["images"].labels.flip(0))},
    "fewer images": lambda a: {"images": a["images"].first(32)},
    "the rate": lambda a: {"recipe": replace(a["recipe"], rate=0.02)},
    "the momentum": lambda a: {"recipe": replace(a["recipe"], momentum=0.5)},
    "the epochs": lambda a: {"recipe": replace(a["recipe"], epochs=2)},
    "the seed": lambda a: {"seed": 1},
    "the noise": lambda a: {"noise": noise(2)},
    "the noise's probability": lambda a: {"noise": noise(1, 0.3)},
    "no noise": lambda a: {"noise": None},
    "the network's weights": lambda a: {"net": 6},
    "the objective": lambda a: {"objective": smoothed},
    "a hook": lambda a: {"hook": lambda network, inputs, output: output / 2},
    "what is trained": lambda a: {"parts": slice(-1, None)},
}


def train(a: Arguments, resume: Path | None) -> str:
    """The result of a training."""
    net = network_of(a["net"], images().pixels)
    if a["hook"]:
        net.register_forward_hook(a["hook"])
    objective = partial(a["objective"], net) if a["objective"] else None
    parts = [net] if a["parts"] == slice(None) else list(net.children())[a["parts"]]
    fit(net, parts, a["images"], a["recipe"], seed=a["seed"], name="net", noise=a["noise"], objective=objective, resume=resume)
    return weights_hash(net)


@contextlib.contextmanager
def killed_after(epochs: int) -> Iterator[None]:
    """Within it, a training is stopped after so many epochs."""
    real, done = loop.train_epoch, 0

    def epoch(*arguments: Any) -> float:
        nonlocal done
        if done == epochs:
            raise KeyboardInterrupt
        done += 1
        return real(*arguments)

    loop.train_epoch = epoch
    try:
        yield
    finally:
        loop.train_epoch = real


def attempt(first: Arguments, second: Arguments, epochs: int, project: Path) -> None:
    """Kill a training, begin again with other arguments: the result must be that of these alone."""
    folder = Path("data/training")
    folder.mkdir(parents=True)
    with killed_after(epochs), contextlib.suppress(KeyboardInterrupt):
        train(first, folder)
    expect(train(second, folder) == train(second, None), "a mixture of two trainings")
    if left := [path.name for path in folder.iterdir()]:
        raise LeftoverError(f"after the training: {left[0]}")


def edited(number: str, file: str | None, project: Path) -> None:
    """The same with a script of no file, in which a number has become half of it."""
    other = SCRIPT.replace(number, str(float(number) / 2))
    attempt(written(SCRIPT, file), written(other, file), 1, project)


def called_otherwise(name: str, project: Path) -> None:
    """The same with a script of a file that is the same, and is given another value from outside."""
    Path("script.py").write_text(SCRIPT)
    attempt(written(SCRIPT, "script.py"), written(SCRIPT, "script.py", **{name: OUTSIDE[name]}), 1, project)


def faults(rng: Random) -> Iterator[Fault]:
    """Every change, both ways, after every epoch; every edit of a script."""
    for label, number in EDITS.items():
        for place, file in {"typed": None, "piped": "<stdin>"}.items():
            yield Fault("resuming", f"{label} of a script that was {place}", partial(edited, number, file), cost=0.5)
    for name in OUTSIDE:
        yield Fault("resuming", f"{name} of a file given from outside", partial(called_otherwise, name), cost=0.5)
    for label, change in CHANGES.items():
        for epochs in (1, 2):
            other = {**base(), **change(base())}
            yield Fault("resuming", f"{label} changed after {epochs}", partial(attempt, base(), other, epochs), cost=0.5)
            if label != "nothing":
                yield Fault("resuming", f"{label} changed back after {epochs}", partial(attempt, other, base(), epochs), cost=0.5)
    ways = {**base(), "objective": sharp}
    yield Fault("resuming", "another objective of two", partial(attempt, {**base(), "objective": smoothed}, ways, 1), cost=0.5)
