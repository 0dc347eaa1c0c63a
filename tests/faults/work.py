"""A little of everything that a stage does, in a second; ``python -m tests.faults.work`` prints the hash of it all."""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from regen_lib.attacks.spgd import spgd
from regen_lib.core.images import Images, load_images
from regen_lib.core.perturbations import Threat, load_bank, save_bank
from regen_lib.data.sources import prepare
from regen_lib.training.loop import fit
from regen_lib.training.recipe import Recipe
from tests.faults.artifacts import digest
from tests.suite import TASK, network_of

TREES = {"train": "all", "validation": "all", "test": "all"}
COUNTS = {"train": 4, "test": 2}


def photographs(raw: Path, shade: int = 0) -> None:
    """Twelve JPEGs in two classes below ``raw``."""
    for number in range(12):
        folder = raw / "all" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number + 100 * shade).integers(0, 256, (240, 250, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")


def decoded(raw: Path, root: Path) -> object:
    """The splits of a folder of images."""
    target = root / "data/images.safetensors"
    prepare("image_folder", raw, target, validation=2, seed=0, trees=TREES, counts=COUNTS)
    return load_images(target)


def attacked(root: Path) -> object:
    """A bank and what a training makes of a network, with its epochs kept on the way."""
    pixels = torch.randint(0, 256, (32, *TASK.shape), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    images = Images(pixels, torch.arange(32) % 4)
    net = network_of(1, pixels)
    net.family = "vgg16"
    path = root / "data/banks/uaps/net/spgd.safetensors"
    save_bank(path, spgd(net, pixels, Threat(math.inf, 60.0, 1.0), seed=0, count=2, passes=1, batch=16, step=0.2))
    losses = fit(net, [net], images, Recipe(2, 0.05, batch=16), seed=0, name="net", resume=root / "data/training")
    return load_bank(path).perturbations, losses, net.state_dict()


def everything(root: Path) -> str:
    """The hash of all that."""
    photographs(root / "raw")
    return everything_of(root / "raw", root)


def everything_of(raw: Path, root: Path) -> str:
    """The hash of all that, with photographs that are there."""
    return digest((decoded(raw, root), attacked(root)))


if __name__ == "__main__":
    import sys

    from benchmarks.program import status
    from tests.faults.campaign import settle

    def work() -> None:
        settle()
        print(everything(Path()))

    sys.exit(status(work))  # as the study's commands: a refusal is a line and status 2
