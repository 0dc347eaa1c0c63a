"""What only the library can say of params.yaml: whether its networks can be built, its options taken, its images found.

Networks are built on torch's device ``meta``, which needs no memory, and run on one image there.
"""

import json
import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from regen_lib import attacks, defenses
from regen_lib.core import options as declared
from regen_lib.core.options import Mistake
from regen_lib.data import extent
from regen_lib.data.extent import Extent
from regen_lib.networks import build, builder
from regen_lib.networks.blocks import Task
from regen_lib.networks.task import CLASSES
from regen_lib.study import references
from regen_lib.study.filling import GROUPS
from regen_lib.weights import FORMATS, PUBLISHED

Params = Mapping[str, Any]
# how many images of a split a part of the study asks for; * stands for every row
IMAGES = {
    "networks.*.recipe.images": "train",
    "rivals.*.recipe.images": "train",
    "rivals.*.training.images": "train",
    "training.variants.*.images": "train",
    "ablation.recipe.images": "train",
    "ablation.variants.*.images": "train",
    "ablation.choices.*.images": "train",
    "secondary.training.recipe.images": "train",
    "training.calibration": "train",
    "filter_norms.images": "test",
    "masking.images": "test",
    "real_images.*.images": "test",
    "evaluation.images": "test",
    "generalization.images": "test",
    "secondary.evaluation.images": "test",
    "comparison.images": "test",
}
UNITS = ("training.recipe", "training.variants.*.recipe", "ablation.variants.*.recipe", "ablation.choices.*.recipe")
RECIPES = ("networks.*.recipe", "rivals.*.recipe", "ablation.recipe", "secondary.training.recipe", *UNITS)


def mistakes(params: Params, folder: Path) -> Iterator[Mistake]:
    """Everything in whole ``params`` that no stage in ``folder`` could do, and that neither types nor names show."""
    if not (folder / (whence := params["study"]["source"]) / "notebooks").is_dir():
        yield Mistake("study.source", whence, "has no notebooks: give the folder of regen_lib and notebooks, from the study's own")
    source = params["images"]
    given = source["source"], source["validation"], source["options"]
    if wrong := list(extent.mistakes(*given)):
        yield from (Mistake(f"images.{key}", value, why) for key, value, why in wrong)
        return
    there = extent.extent(*given)
    yield from networks(params, there.shape)
    yield from images(params, there)
    yield from crops(params, there.shape)
    if params["training"]["stream"] and source["source"] in extent.PUBLISHED:
        yield Mistake("training.stream", True, f"{source['source']} is no folder of images, which could be streamed: give false")
    yield from (wrong := [mistake for place, row in banks(params) for mistake in bank(place, row, params, there)])
    if not wrong:
        yield from references.targeted(params["comparison"], references.all_banks(params))
    for name, row in params["rivals"].items():
        yield from (Mistake(f"rivals.{name}.{key}", value, why) for key, value, why in defenses.mistakes(name, row))
    yield from towards(params)


def networks(params: Params, shape: tuple[int, int, int]) -> Iterator[Mistake]:
    """Options of networks, and their layers."""
    built: dict[str, nn.Module | str | None] = {}
    for name, row in params["networks"].items():
        place, recipe = f"networks.{name}", row["recipe"]
        for key, value, why in declared.mistakes(builder(name), row["options"]):
            yield Mistake(f"{place}.options.{key}", value, why)
            built[name] = None
        weights = recipe.get("weights", PUBLISHED)
        if weights != PUBLISHED and Path(weights).suffix not in FORMATS:
            yield Mistake(f"{place}.recipe.weights", weights, f"give a {', '.join(FORMATS)} file below images.raw, or {PUBLISHED}")
        for key in ("mean", "std"):
            if len(recipe.get(key, shape[:1] * shape[0])) != shape[0]:
                yield Mistake(f"{place}.recipe.{key}", recipe[key], f"give {shape[0]}, one for each channel of the images")
        if name not in built:
            built[name] = network(name, json.dumps(row["options"]), shape, recipe.get("classes", CLASSES))
            if isinstance(built[name], str):
                yield Mistake(f"{place}.options", row["options"], f"cannot be built for images of {shape}: {built[name]}")
    yield from placed(params, built)


def placed(params: Params, built: Mapping[str, nn.Module | str | None]) -> Iterator[Mistake]:
    """Layers that get units, and, where the networks have them all, what is said of their number and of the one that is shown."""
    wrong = {
        name: [m for layer in layers for m in convolution(f"units.{name}", layer, built[name])] for name, layers in params["units"].items()
    }
    for found in wrong.values():
        yield from found
    if not any(wrong.values()):
        yield from references.placed(params)
        yield from references.pictured(params)
    for key in ("variants", "choices"):
        for name, row in params["ablation"][key].items():
            for layer in row.get("layers") or ():
                yield from convolution(f"ablation.{key}.{name}.layers", layer, built[params["ablation"]["network"]])


@cache
def network(name: str, options: str, shape: tuple[int, int, int], classes: int) -> nn.Module | str:
    """A network without memory, or why it cannot be built or run on images of ``shape``."""
    task = Task(shape, classes, (0.0,) * shape[0], (1.0,) * shape[0])
    try:
        with torch.device("meta"), torch.no_grad():
            made = build(name, task, **json.loads(options)).eval()
            made(torch.zeros(1, *shape))
    except (RuntimeError, ValueError, TypeError, IndexError, ZeroDivisionError) as error:
        return str(error).splitlines()[0]
    return made


def convolution(key: str, layer: str, network: nn.Module | str | None) -> Iterator[Mistake]:
    """A mistake where ``layer`` is no convolution of the ``network``, if that could be built."""
    if isinstance(network, nn.Module):
        known = dict(network.named_modules())
        there = [name for name, module in known.items() if isinstance(module, nn.Conv2d)]
        if layer not in there:
            what = f"is a {type(known[layer]).__name__}, no convolution" if layer in known else "is not in the network"
            yield Mistake(key, layer, f"{what}: choose from {', '.join(there[:12])}{', ...' if len(there) > 12 else ''}")


def banks(params: Params) -> Iterator[tuple[str, Params]]:
    """Every bank's row, and where it is."""
    groups = {name: at(params, name) for name in GROUPS} | {f"unseen.{name}": group for name, group in params["unseen"].items()}
    for place, group in groups.items():
        yield from ((f"{place}.banks.{name}", row) for name, row in group["banks"].items())
    yield from ((f"secondary.training.attacks.{name}", row) for name, row in params["secondary"]["training"]["attacks"].items())


def bank(place: str, row: Params, params: Params, there: Extent) -> Iterator[Mistake]:
    """What one bank asks for: images of its split, a perturbation that images can hold, options that its attack takes."""
    count, most = there.counts[row["split"]], 255.0 if row["norm"] == "inf" else 255 * math.sqrt(math.prod(there.shape))
    if count is not None and row["start"] >= count:
        yield Mistake(f"{place}.start", row["start"], f"{row['split']} has {count} images: start before")
    elif count is not None and row["start"] + row["images"] > count:
        from_there = f"from {row['start']} on {row['split']} has {count - row['start']} images"
        yield Mistake(f"{place}.images", row["images"], f"{from_there}: ask for at most that many")
    if row["xi"] > most:
        yield Mistake(f"{place}.xi", row["xi"], f"pixels are 0-255, so no perturbation here has a norm above {most:g}: give less")
    classes = min(params["networks"][name]["recipe"].get("classes", CLASSES) for name in params["study"]["networks"])
    yield from (Mistake(f"{place}.{key}", value, why) for key, value, why in attacks.mistakes(row, classes))


def images(params: Params, there: Extent) -> Iterator[Mistake]:
    """Numbers of images that are more than there are."""
    decoded = () if params["training"]["stream"] else UNITS  # a stream has more
    wanted = IMAGES | {f"{recipe}.images": "train" for recipe in decoded}
    for pattern, split in wanted.items():
        for place, value in found(params, pattern.split(".")):
            if isinstance(value, int) and (count := there.counts[split]) is not None and value > count:
                yield Mistake(place, value, f"{split} has {count} images: ask for at most that many")
    if (asked := params["evaluation"]["images"]) > (count := there.counts["validation"] or 0):
        yield Mistake("evaluation.images", asked, f"as many validation images are needed, and there are {count}: ask for fewer")
    for place, batch in [pair for pattern in wanted for pair in found(params, pattern.replace("images", "batch").split("."))]:
        if isinstance(batch, int) and (count := there.counts["train"]) is not None and batch > count:
            yield Mistake(place, batch, f"train has {count} images: a batch takes at most that many")


def crops(params: Params, shape: tuple[int, int, int]) -> Iterator[Mistake]:
    """Paddings that no image can be reflected into: what is outside of it has to be inside its mirror image."""
    side = min(shape[1:])
    for pattern in RECIPES:
        for place, value in found(params, [*pattern.split("."), "crop"]):
            if value is not None and value >= side:
                yield Mistake(place, value, f"images of {shape[1]} x {shape[2]} are padded by their reflection: give less than {side}")


def found(value: Any, pattern: list[str], place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value at a dotted pattern, and where it is."""
    if not pattern:
        yield place.removeprefix("."), value
    elif isinstance(value, Mapping):
        for key in value if pattern[0] == "*" else {pattern[0]} & value.keys():
            yield from found(value[key], pattern[1:], f"{place}.{key}")


def towards(params: Params) -> Iterator[Mistake]:
    """The class that the comparison counts."""
    given = params["comparison"]["towards"]
    for name in params["study"]["networks"]:
        if given >= (classes := params["networks"][name]["recipe"].get("classes", CLASSES)):
            yield Mistake("comparison.towards", given, f"{name} has the classes 0 to {classes - 1}: choose one of them")
            return


def at(params: Params, dotted: str) -> Any:
    """The value at ``a.b``."""
    return dict(found(params, dotted.split(".")))[dotted]
