"""What test_distributed.py starts in one process and in several: work of each kind, its results written by the library."""

import json
import os
import sys
from itertools import product
from pathlib import Path
from typing import Any

import torch

from regen_lib.attacks import make
from regen_lib.core import processes
from regen_lib.core.images import Images
from regen_lib.core.inference import predict
from regen_lib.core.perturbations import save_bank
from regen_lib.core.runtime import start
from regen_lib.core.seeding import generator
from regen_lib.core.storage import write_bytes
from regen_lib.networks.blocks import Task, initialise
from regen_lib.networks.vgg16 import vgg16
from regen_lib.regeneration.files import save_units
from regen_lib.regeneration.unit import regenerate, units
from regen_lib.training import loop
from regen_lib.training.loop import fit
from regen_lib.training.noise import Noise
from regen_lib.training.recipe import Recipe

LAYERS = ["conv1_1", "conv2_1"]


def die_in_third_epoch() -> None:
    """The last process ends as if killed; the others then have nobody to talk to."""
    real, epochs = loop.train_epoch, []

    def epoch(*arguments: Any) -> float:
        epochs.append(1)
        if len(epochs) == 3 and processes.rank() == processes.world() - 1:
            os._exit(9)
        return real(*arguments)

    loop.train_epoch = epoch


def main(folder: Path, *, killed: bool) -> None:
    """Banks, a training and predictions, in ``folder``."""
    start(1)
    if killed:
        die_in_third_epoch()
    rng = torch.Generator().manual_seed(3)
    images = Images(torch.randint(0, 256, (97, 1, 12, 12), generator=rng, dtype=torch.uint8), torch.arange(97) % 4)
    network = initialise(vgg16(Task((1, 12, 12), 4, (100.0,), (60.0,)), width=0.07, hidden=None), torch.Generator().manual_seed(1))
    network.eval().requires_grad_(False)
    spec = {"attack": "spgd", "norm": "inf", "xi": 30, "target": 1.0, "count": 2, "split": "train", "start": 0, "images": 40}
    for which, seed in processes.jobs(product(("a", "b", "c"), (0, 1))):
        options = {"passes": 2, "batch": 10}
        save_bank(folder / f"{which}{seed}.safetensors", make(network, {"train": images}, {**spec, "options": options}, seed=seed))
    defended = regenerate(network, LAYERS, ratio=0.5, generator=generator(0, "units"))
    noise = Noise(torch.randn(5, 1, 12, 12, generator=rng) * 20, 0.5)
    losses = fit(defended, units(defended).values(), images, Recipe(3, 0.05, batch=16), seed=0, name="test", noise=noise, resume=folder)
    save_units(folder / "units.safetensors", defended, network=network, layers=LAYERS, ratio=0.5, width=1.0)
    found = {"losses": losses, "predictions": predict(network, images.pixels).tolist(), "world": processes.world()}
    write_bytes(folder / "found.json", json.dumps(found).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), killed="killed" in sys.argv)
