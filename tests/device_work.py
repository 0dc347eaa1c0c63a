"""What test_devices.py does twice, on the CPU and on the fake device: attacks, a training, defences, an evaluation."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from regen_lib.attacks import make
from regen_lib.core import devices
from regen_lib.core.images import Images
from regen_lib.core.inference import draw, logits, predict
from regen_lib.core.perturbations import load_bank, save_bank
from regen_lib.core.runtime import start
from regen_lib.core.seeding import generator
from regen_lib.core.storage import write_bytes, write_tensors
from regen_lib.defenses import RIVALS
from regen_lib.defenses import make as defend
from regen_lib.defenses._shared.base import Defended, TrainingData
from regen_lib.networks import build, load_network, save_network
from regen_lib.networks.blocks import Task, initialise
from regen_lib.regeneration.calibration import calibrate
from regen_lib.regeneration.synthesis import make as synthesize
from regen_lib.regeneration.unit import regenerate, units
from regen_lib.study.tables.filters import filter_table
from regen_lib.training.loop import fit
from regen_lib.training.noise import Noise
from regen_lib.training.recipe import Recipe
from tests import pretend
from tests.small_attacks import OPTIONS

LAYERS = ["conv1_1", "conv2_1"]
SIDE, CLASSES = 16, 4
TASK = Task((1, SIDE, SIDE), CLASSES, (100.0,), (60.0,))
SPEC = {"norm": "inf", "xi": 30, "target": 1.0, "count": 2, "split": "train", "start": 0, "images": 40}
# all but Singular Fool, whose forward-mode derivatives torch does not take on such a device
ATTACKS = {name: options for name, options in OPTIONS.items() if name != "singular_fool"}
TRAINED = {"prn_det": None, "jpeg": None, "pixel_deflection": None, "feature_distillation": None, "feature_norm_clipping": None}
TRAINED |= {"dead_zone": None, "clamp": None, "median_filter": None, "gaussian_blur": None}
EXTRA = {
    "adversarial_training": {"epsilon": 8.0, "steps": 2},
    "feature_denoising": {"epsilon": 8.0, "steps": 2},
    "shared_adversarial_training": {"epsilon": 8.0, "steps": 2, "heap": 5},
    "universal_adversarial_training": {"epsilon": 8.0},
    "democratic_training": {"epsilon": 8.0, "steps": 2},
    "prn_det": {"images": 40},
}
MAPS = {
    "dead_zone": {"threshold": 61},
    "prn": {"maps": 4, "blocks": 1},
    "prn_det": {"maps": 4, "blocks": 1},
    "hgd": {"width": 2},
    "pixel_deflection": {"deflections": 5, "window": 3},
}


def images() -> Images:
    """As they are read: pixels on the CPU, labels on the device."""
    rng = torch.Generator().manual_seed(3)
    pixels = torch.randint(0, 256, (80, 1, SIDE, SIDE), generator=rng, dtype=torch.uint8)
    return Images(pixels.cpu(), torch.arange(80) % CLASSES)


def main(folder: Path, *, pretended: bool) -> None:
    """Every number, in ``folder``."""
    if pretended:
        device = pretend.install()
        devices.best = lambda: device
    start(1)
    save_network(folder / "network.safetensors", initialise(build("vgg16", TASK, width=0.07, hidden=None), generator(1)))
    network, seen = load_network(folder / "network.safetensors"), images()
    assert next(network.parameters()).device == torch.get_default_device()
    found: dict[str, object] = {}
    for name, options in ATTACKS.items():
        save_bank(folder / f"{name}.safetensors", make(network, {"train": seen}, {**SPEC, "attack": name, "options": options}, seed=0))
    bank = load_bank(folder / "random_signs.safetensors", network=network)
    found["filters"] = filter_table("vgg16", network, LAYERS, seen.pixels[:8], bank.perturbations[:1], network).to_dict("list")
    tensors: dict[str, Tensor] = {"synthetic": synthesize("paper", bank.perturbations, bank.threat, 20, seed=0, name="test", eta_scale=0.9)}
    defended = regenerate(network, LAYERS, ratio=0.5, generator=generator(0, "units"))
    calibrate(defended, seen.pixels[:20])
    noise = Noise(tensors["synthetic"], 0.5)
    found["losses"] = fit(
        defended, units(defended).values(), seen, Recipe(2, 0.02, batch=20), seed=0, name="test", noise=noise, resume=folder
    )
    choice = draw(len(seen), len(bank), generator(0, "evaluation"))
    found["logits"] = torch.cat(list(logits(defended, seen.pixels, bank.perturbations, choice))).flatten().tolist()
    found["right"] = int((predict(network, seen.pixels) == seen.labels).sum())
    training_data, recipe = TrainingData(seen, bank, tuple(LAYERS)), {"epochs": 1, "rate": 1e-3, "batch": 20}
    made: dict[str, Defended] = {}
    for name in RIVALS:
        spec = {"options": MAPS.get(name, {}), "training": EXTRA.get(name, {}), "recipe": None if name in TRAINED else recipe}
        built_on = made.get("prn") if name == "prn_det" else None
        rival = made[name] = defend(name, network, spec, replace(training_data, built_on=built_on), seed=0)
        found[name] = [round(z, 3) for z in rival(bank.perturbations + 100).detach().flatten().tolist()]
    write_tensors(folder / "tensors.safetensors", "test", tensors)
    write_bytes(folder / "found.json", json.dumps(found).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), pretended=sys.argv[2] == "pretend")
