"""What a network is built for."""

from collections.abc import Mapping
from typing import Any

from regen_lib.core.images import Images
from regen_lib.networks.blocks import Task

CLASSES = 10  # of networks that are trained here


def describe(images: Images, classes: int = CLASSES) -> Task:
    """What a network for these images needs: shape, number of classes, mean and deviation of the pixels (0-255)."""
    pixels = images.pixels.double()
    shape = pixels.shape[1], pixels.shape[2], pixels.shape[3]
    mean, std = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))
    return Task(shape, classes, tuple(mean.tolist()), tuple(std.tolist()))


def task_of(images: Images, recipe: Mapping[str, Any]) -> Task:
    """What to build a network for: these images, or, where its weights come from elsewhere, what those were trained for."""
    if "weights" not in recipe:
        return describe(images)
    shape = images.pixels.shape
    return Task((shape[1], shape[2], shape[3]), recipe["classes"], tuple(recipe["mean"]), tuple(recipe["std"]))
