"""A published training set in two."""

import torch

from regen_lib.core.images import Images
from regen_lib.core.seeding import generator


def held_out(images: Images, validation: int, seed: int) -> dict[str, Images]:
    """``validation`` of the images under that name, the others as ``train``; which is drawn from ``seed``."""
    order = torch.randperm(len(images), generator=generator(seed, "validation split")).cpu()
    parts = {"train": order[validation:], "validation": order[:validation]}
    return {name: Images(images.pixels[index], images.labels[index]) for name, index in parts.items()}
