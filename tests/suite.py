"""A study of two tiny networks in the study's own files, made by hand: whatever a table says of it, a loop can say as well."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from regen_lib.core.images import Images
from regen_lib.core.perturbations import Bank, Threat, save_bank
from regen_lib.core.seeding import generator
from regen_lib.core.storage import weights_hash
from regen_lib.defenses._shared.files import save_defense
from regen_lib.defenses.jpeg import jpeg
from regen_lib.networks import build, load_network, save_network
from regen_lib.networks.blocks import Task, initialise
from regen_lib.regeneration.files import load_units, save_units
from regen_lib.regeneration.unit import first_layers, regenerate
from regen_lib.study.tables.suite import Suite

TASK = Task((1, 12, 12), 4, (100.0,), (60.0,))
OPTIONS = {"width": 0.07, "stem": 1, "hidden": None, "batch_norm": True}
NAMES, SEED, COUNT = ("one", "two"), 3, 120
LAYERS = ["conv1_1", "conv2_1"]
UNITS = {"ours": (2, 0.5), "hardened": (2, 0.5), "units1": (1, 0.5), "units2": (2, 0.5), "ratio100": (2, 1.0)}
BANKS = {  # norm, xi, members
    **{"uap": (math.inf, 60.0, 3), "uap_l2": (2, 500.0, 2), "uap_smaller": (math.inf, 55.0, 3), "tuning": (math.inf, 60.0, 2)},
    **{"xi90": (math.inf, 90.0, 3), "xi120": (math.inf, 120.0, 3), "random_signs": (math.inf, 60.0, 3), "random_l2": (2, 500.0, 2)},
    **{"train": (math.inf, 60.0, 4)},
    **{"fff": (math.inf, 60.0, 2), "nag": (math.inf, 60.0, 3), "spgd": (math.inf, 60.0, 2)},
}
WHITE_BOX = ("spgd", "uap")
HISTORY = (0.1, 0.4, 0.3, 0.6)  # of every bank; the second half gained 0.2


@dataclass(frozen=True)
class Known:
    """The suite, and what went into it."""

    suite: Suite
    data: Path
    images: Images
    networks: Mapping[str, nn.Module]
    banks: Mapping[tuple[str, str], Bank]

    def choice(self, bank: str, members: int) -> Tensor:
        """Which member each image carries in the tables: drawn from the seed and the bank's name."""
        return torch.randint(members, (len(self.images),), generator=generator(SEED, "evaluation", bank))

    def hits(self, network: nn.Module, v: Tensor | None = None, choice: Tensor | None = None, *, clip: bool = False) -> Tensor:
        """Which images ``network`` gets right, each with ``v[choice]`` added."""
        return said(network, self.images.pixels, v, choice, clip=clip) == self.images.labels

    def top1(self, network: nn.Module, name: str, bank: str, *, clip: bool = False) -> float:
        """Top-1 of ``network`` under the bank made for the network ``name``."""
        v = self.banks[name, bank].perturbations
        return share(self.hits(network, v, self.choice(bank, len(v)), clip=clip))


def said(network: nn.Module, pixels: Tensor, v: Tensor | None = None, choice: Tensor | None = None, *, clip: bool = False) -> Tensor:
    """The classes that ``network`` gives ``pixels``, all at once."""
    x = pixels.float()
    if v is not None:
        x = x + (v[:1] if choice is None else v[choice])
    with torch.no_grad():
        return network(x.clamp(0, 255) if clip else x).argmax(1)


def share(hits: Tensor) -> float:
    """Hits of all."""
    return int(hits.sum()) / len(hits)


def network_of(seed: int, pixels: Tensor) -> nn.Module:
    """A tiny VGG-16 whose batch normalisation has seen images, and that gives ``pixels`` one class as often as another."""
    model = initialise(build("vgg16", TASK, **OPTIONS), torch.Generator().manual_seed(seed)).train()
    with torch.no_grad():
        for step in range(3):
            model(torch.randn(16, *TASK.shape, generator=torch.Generator().manual_seed(step)) * 60 + 100)
        model.get_submodule("fc8").bias.sub_(model.eval()(pixels.float()).mean(0))
    return model.eval().requires_grad_(False)


def blotches(count: int, norm: float, xi: float, seed: int) -> Tensor:
    """Random signs over 4 x 4 pixels each, at the full norm: ``[count, 1, 12, 12]``."""
    signs = torch.randint(2, (count, 1, 3, 3), generator=torch.Generator().manual_seed(seed)).float() * 2 - 1
    return signs.repeat_interleave(4, 2).repeat_interleave(4, 3) * (xi if norm == math.inf else xi / 12)


def bank_of(network: nn.Module, name: str, bank: str, norm: float, xi: float, count: int, seed: int) -> Bank:
    """A bank by hand: member k fooled 0.5 + k / 10 of its own images, at the price of 100 gradients for each."""
    fooling = tuple(0.5 + k / 10 for k in range(count))
    v = blotches(count, norm, xi, seed)
    return Bank(
        v, Threat(norm, xi), "uap" if bank.startswith(("uap", "xi")) else bank, name, weights_hash(network), 0, fooling, HISTORY, 100.0
    )


def build_study(data: Path) -> Known:
    """Write the study's files below ``data`` and load them."""
    pixels = torch.randint(0, 256, (COUNT, *TASK.shape), generator=torch.Generator().manual_seed(7), dtype=torch.uint8)
    networks = {name: network_of(seed, pixels) for seed, name in enumerate(NAMES, start=1)}
    labels = torch.where(torch.arange(COUNT) % 2 == 0, said(networks["one"], pixels), said(networks["two"], pixels))
    images, banks = Images(pixels, labels), {}
    for place, (name, network) in enumerate(networks.items()):
        save_network(data / "networks" / f"{name}.safetensors", network)
        networks[name] = network = load_network(data / "networks" / f"{name}.safetensors")
        for seed, (bank, (norm, xi, count)) in enumerate(BANKS.items(), start=100 * place):
            banks[name, bank] = bank_of(network, name, bank, norm, xi, count, seed)
            save_bank(data / "banks" / "made" / name / f"{bank}.safetensors", banks[name, bank])
        compressed = jpeg(network, quality=20)
        compressed.made = ("jpeg", {"quality": 20})
        save_defense(data / "defenses" / "jpeg" / f"{name}.safetensors", compressed)
        for seed, (variant, (count, ratio)) in enumerate(UNITS.items()):
            save_variant(data, name, network, variant, count, ratio, seed)
        for defense in ("undefended", "ours", "hardened"):
            target = network if defense == "undefended" else load_units(data / "units" / defense / f"{name}.safetensors", network)
            for seed, attack in enumerate(WHITE_BOX):
                made = bank_of(target, name, attack, math.inf, 60.0, 2, 500 + 10 * seed + len(defense))
                save_bank(data / "white_box" / defense / name / f"{attack}.safetensors", made)
    return Known(Suite(data, NAMES, images, seed=SEED, defenses=("undefended", "ours", "jpeg")), data, images, networks, banks)


def save_variant(data: Path, name: str, network: nn.Module, variant: str, count: int, ratio: float, seed: int) -> None:
    """Untrained units that do little, on the first ``count`` of the layers."""
    layers = first_layers(LAYERS, count)
    defended = regenerate(network, layers, ratio=ratio, width=1.0, residual=0.3, generator=torch.Generator().manual_seed(seed))
    save_units(data / "units" / variant / f"{name}.safetensors", defended, network=network, layers=layers, ratio=ratio, width=1.0)
