"""Universal attacks: every file here is one, named like the function in it.

Every attack is ``attack(network, pixels, threat, *, seed, count, ...) -> Bank``: ``count`` perturbations made together,
each from its own disjoint part of ``pixels`` (uint8 ``[N, C, H, W]``). It is decorated with
:func:`regen_lib.attacks._shared.door.attack`, which checks what it is given and what it made.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regen_lib.core.errors import StudyError

if TYPE_CHECKING:  # params.py asks for the names alone, and should not wait for torch
    from torch import nn

    from regen_lib.core.images import Images
    from regen_lib.core.perturbations import Bank

ATTACKS = tuple(sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py")))


def find(name: str) -> "Callable[..., Bank]":
    """The attack of that name; :class:`StudyError` for an unknown one."""
    if name not in ATTACKS:
        raise StudyError(f"attack {name!r} is unknown: choose one of {', '.join(ATTACKS)}")
    attack: Callable[..., Bank] = getattr(import_module(f"regen_lib.attacks.{name}"), name)
    return attack


def make(network: "nn.Module", splits: "Mapping[str, Images]", spec: Mapping[str, Any], *, seed: int) -> "Bank":
    """The bank that a row of params.yaml describes: attack, norm, xi, target, count, split, start, images, each, options.

    With ``each``, where there are too few images for parts of their own, every perturbation is made from that many of the row's
    images, drawn for it. The option ``truth`` hands the images' labels to an attack that can use them.
    """
    from regen_lib.core.images import Images
    from regen_lib.core.perturbations import Threat

    start, stop = spec["start"], spec["start"] + spec["images"]
    found, options = splits[spec["split"]].first(stop), dict(spec["options"])
    images = Images(found.pixels[start:], found.labels[start:])
    if spec.get("each"):
        images = drawn(images, spec["count"], spec["each"], seed)
    if options.pop("truth", False):
        options["labels"] = images.labels
    threat = Threat(float(spec["norm"]), float(spec["xi"]), spec["target"])
    return find(spec["attack"])(network, images.pixels, threat, seed=seed, count=spec["count"], **options)


def drawn(images: "Images", count: int, each: int, seed: int) -> "Images":
    """``count`` times ``each`` of the images, one after the other: every time drawn anew, none twice for one perturbation."""
    import torch

    from regen_lib.core.images import Images
    from regen_lib.core.seeding import generator

    if each > len(images):
        raise StudyError(f"each {each}: only {len(images)} images are there to draw from; ask for fewer, or give more images")
    draws = [torch.randperm(len(images), generator=generator(seed, "images of a perturbation", k))[:each] for k in range(count)]
    index = torch.cat(draws).cpu()
    return Images(images.pixels[index], images.labels[index.to(images.labels.device)])
