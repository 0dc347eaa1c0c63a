"""How to train: what a recipe may say, its learning rate and its optimiser."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from regen_lib.core.errors import StudyError


@dataclass(frozen=True)
class Recipe:
    """How to train.

    ``epochs`` passes over ``images`` images each (0: all). ``schedule``: ``drops`` divides the rate by 10 after each
    quarter of the training (the paper's four epochs); ``cycle`` warms up and anneals (Smith's one-cycle). ``precision``:
    ``bfloat16`` trains under autocast; weights stay float32. ``compile`` puts Eq. 7's network through
    ``torch.compile`` in that mode: ``default``, or ``reduce-overhead``, which replays CUDA graphs.
    """

    epochs: int
    rate: float
    images: int = 0
    batch: int = 128
    optimizer: str = "sgd"
    schedule: str = "drops"
    weight_decay: float = 5e-4
    momentum: float = 0.9
    precision: str = "float32"
    compile: str | None = None

    def __post_init__(self) -> None:
        if self.optimizer not in ("sgd", "adamw"):
            raise StudyError(f"optimizer {self.optimizer!r} is unknown: choose sgd or adamw")
        if self.schedule not in ("drops", "cycle"):
            raise StudyError(f"schedule {self.schedule!r} is unknown: choose drops or cycle")
        if self.precision not in ("float32", "bfloat16"):
            raise StudyError(f"precision {self.precision!r} is unknown: choose float32 or bfloat16")
        if self.compile not in (None, "default", "reduce-overhead"):
            raise StudyError(f"compile {self.compile!r} is unknown: choose null, default or reduce-overhead")
        if self.epochs < 1 or self.rate <= 0:
            raise StudyError(f"{self.epochs} epochs at rate {self.rate}: both must be positive")


def rate_at(recipe: Recipe, done: float) -> float:
    """The learning rate when a fraction ``done`` in [0, 1) of the training is over."""
    if recipe.schedule == "drops":
        return recipe.rate * 0.1 ** int(4 * done)
    warm = 0.25
    if done < warm:
        return recipe.rate * (0.04 + 0.96 * done / warm)
    return recipe.rate * 0.5 * (1 + math.cos(math.pi * (done - warm) / (1 - warm)))


def make_optimizer(trainable: Iterable[nn.Module], recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser; weight decay spares biases and BN scales, as in the authors' networks."""
    parameters = [p for part in trainable for p in part.parameters()]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.rate)
    return torch.optim.SGD(groups, lr=recipe.rate, momentum=recipe.momentum)
