"""Universal attacks: every file here is one, named like the function in it.

Every attack is ``attack(network, pixels, threat, *, seed, count, ...) -> Bank``: ``count`` perturbations made together,
each from its own disjoint part of ``pixels`` (uint8 ``[N, C, H, W]``). It is decorated with
:func:`regen_lib.attacks._shared.door.attack`, which checks what it is given and what it made.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from regen_lib.core import options as declared
from regen_lib.core.errors import StudyError
from regen_lib.core.options import Mistake
from regen_lib.core.registry import found_in

if TYPE_CHECKING:  # params.py asks for the names alone, and should not wait for torch
    from torch import nn

    from regen_lib.core.images import Images
    from regen_lib.core.perturbations import Bank

ATTACKS = found_in("attacks")

ROW = {"norm": "inf", "target": 0.8, "split": "validation", "start": 0, "options": {}}  # of a bank's row


def find(name: str) -> "Callable[..., Bank]":
    """The attack of that name; :class:`StudyError` for an unknown one."""
    if name not in ATTACKS:
        raise StudyError(f"attack {name!r} is unknown: choose one of {', '.join(ATTACKS)}")
    attack: Callable[..., Bank] = getattr(import_module(f"regen_lib.attacks.{name}"), name)
    return attack


def mistakes(spec: Mapping[str, Any], classes: int) -> Iterator[Mistake]:
    """What is wrong with the options of a bank's row, by the attack's signature and the images that each perturbation gets.

    ``classes`` is how many the network tells apart.
    """
    attack, options, count, images = find(spec["attack"]), spec["options"], spec["count"], spec["images"]
    yield from unfit(attack, options)
    if isinstance(towards := options.get("towards"), int) and towards >= classes:
        yield Mistake("options.towards", towards, f"the network has the classes 0 to {classes - 1}: choose one of them")
    if isinstance(likely := options.get("classes"), int) and likely > classes:
        yield Mistake("options.classes", likely, f"the network has {classes}: give no more")
    drawn_for_each = spec.get("each") or 0
    if drawn_for_each > images:
        yield Mistake("each", drawn_for_each, f"there are {images} images to draw from: give more images, or a smaller number")
    if count > (total := drawn_for_each * count or images):
        yield Mistake("count", count, f"each perturbation needs at least one of the {images} images: give more images, or a smaller count")
    each = total if vars(attack)["shared"] else total // count
    if isinstance(batch := options.get("batch"), int) and batch > each > 0:
        yield Mistake("options.batch", batch, f"each perturbation has {each} images: give more images, or a batch of at most {each}")


def unfit(attack: "Callable[..., Bank]", given: Mapping[str, Any]) -> Iterator[Mistake]:
    """What is wrong with the ``options`` of a bank's row by the signature of its attack alone."""
    options = dict(given)
    truth = options.pop("truth", False)
    if not isinstance(truth, bool) or (truth and "labels" not in declared.options(attack)):
        has = "give true or false" if "labels" in declared.options(attack) else f"{attack.__name__} has no such option: remove it"
        yield Mistake("options.truth", truth, has)
    for key, value, why in declared.mistakes(attack, options, ("seed", "count", "labels")):
        yield Mistake(f"options.{key}", value, why)


def make(network: "nn.Module", splits: "Mapping[str, Images]", spec: Mapping[str, Any], *, seed: int, name: str = "") -> "Bank":
    """The bank ``name`` that a row of params.yaml describes: attack, norm, xi, target, count, split, start, images, each, options.

    What a row leaves out is as in :data:`ROW`. With ``each``, where there are too few images for parts of their own, every
    perturbation is made from that many of the row's images, drawn for it. The option ``truth`` hands the images' labels to an
    attack that can use them.
    """
    from regen_lib.core.images import Images
    from regen_lib.core.perturbations import Threat
    from regen_lib.core.progress import about

    spec = {**ROW, **spec}
    for key, value, why in unfit(find(spec["attack"]), spec["options"]):
        raise StudyError(f"{spec['attack']}: {key} {why}" if value is ... else f"{spec['attack']}: {key} is {declared.shown(value)}: {why}")
    start, stop = spec["start"], spec["start"] + spec["images"]
    found, options = splits[spec["split"]].first(stop), dict(spec["options"])
    images = Images(found.pixels[start:], found.labels[start:])
    if spec.get("each"):
        images = drawn(images, spec["count"], spec["each"], seed)
    if options.pop("truth", False):
        options["labels"] = images.labels
    threat = Threat(float(spec["norm"]), float(spec["xi"]), spec["target"])
    with about(name):
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
