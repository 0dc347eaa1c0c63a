"""How to train: what a recipe may say, and the learning rate that follows from it."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Lt

from regen_lib.core.errors import StudyError
from regen_lib.core.options import Amount, Count, check


@dataclass(frozen=True)
class Recipe:
    """How to train.

    ``epochs`` passes over ``images`` images each (None: all), each mirrored at random; with ``crop`` each is also padded by so many
    pixels and cut to its size at random. ``schedule``: ``drops`` divides the rate by 10 after each
    quarter of the training (the paper's four epochs); ``cycle`` warms up and anneals (Smith's one-cycle). ``precision``:
    ``bfloat16`` trains under autocast; weights stay float32. ``compile`` puts Eq. 7's network through
    ``torch.compile`` in that mode: ``default``, or ``reduce-overhead``, which replays CUDA graphs.
    """

    epochs: Count
    rate: Amount
    images: Count | None = None
    batch: Annotated[int, Ge(2)] = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    schedule: Literal["drops", "cycle"] = "drops"
    weight_decay: Annotated[float, Ge(0)] = 5e-4
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.9
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: Literal["default", "reduce-overhead"] | None = None
    crop: Count | None = None

    def __post_init__(self) -> None:
        check(Recipe, vars(self), name="recipe")
        if self.images is not None and self.images < self.batch:
            raise StudyError(f"recipe: batch {self.batch} of {self.images} images: an epoch takes at least one batch")


def rate_at(recipe: Recipe, done: float) -> float:
    """The learning rate when a fraction ``done`` in [0, 1) of the training is over."""
    if recipe.schedule == "drops":
        return recipe.rate * 0.1 ** int(4 * done)
    warm = 0.25
    if done < warm:
        return recipe.rate * (0.04 + 0.96 * done / warm)
    return recipe.rate * 0.5 * (1 + math.cos(math.pi * (done - warm) / (1 - warm)))
