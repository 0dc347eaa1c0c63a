"""How to train: what a recipe may say, and the learning rate that follows from it."""

import math
from dataclasses import dataclass
from typing import Literal

from regen_lib.core.errors import StudyError


@dataclass(frozen=True)
class Recipe:
    """How to train.

    ``epochs`` passes over ``images`` images each (None: all), each mirrored at random; with ``crop`` each is also padded by so many
    pixels and cut to its size at random. ``schedule``: ``drops`` divides the rate by 10 after each
    quarter of the training (the paper's four epochs); ``cycle`` warms up and anneals (Smith's one-cycle). ``precision``:
    ``bfloat16`` trains under autocast; weights stay float32. ``compile`` puts Eq. 7's network through
    ``torch.compile`` in that mode: ``default``, or ``reduce-overhead``, which replays CUDA graphs.
    """

    epochs: int
    rate: float
    images: int | None = None
    batch: int = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    schedule: Literal["drops", "cycle"] = "drops"
    weight_decay: float = 5e-4
    momentum: float = 0.9
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: Literal["default", "reduce-overhead"] | None = None
    crop: int = 0

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
        if self.batch < 2 or (self.images is not None and self.images < self.batch):
            raise StudyError(f"batch {self.batch} of {self.images} images: a batch takes at least 2 images, an epoch at least one batch")
        if self.weight_decay < 0 or not 0 <= self.momentum < 1:
            raise StudyError(f"weight_decay {self.weight_decay} must not be negative, momentum {self.momentum} lies in [0, 1)")
        if self.crop < 0:
            raise StudyError(f"crop {self.crop} must not be negative: 0 is no cropping, 4 pixels are usual for images of 32")


def rate_at(recipe: Recipe, done: float) -> float:
    """The learning rate when a fraction ``done`` in [0, 1) of the training is over."""
    if recipe.schedule == "drops":
        return recipe.rate * 0.1 ** int(4 * done)
    warm = 0.25
    if done < warm:
        return recipe.rate * (0.04 + 0.96 * done / warm)
    return recipe.rate * 0.5 * (1 + math.cos(math.pi * (done - warm) / (1 - warm)))
