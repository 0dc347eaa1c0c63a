"""What happens to one image: Fig. 1 and 5."""

from collections.abc import Iterable

import torch
from torch import Tensor

from regen_lib.core.errors import StudyError
from regen_lib.core.images import as_input
from regen_lib.core.inference import predict
from regen_lib.core.surgery import layer_inputs
from regen_lib.regeneration.unit import Regenerated
from regen_lib.study.figures.pictures import Shown
from regen_lib.study.tables.suite import Suite


def most_fooled(suite: Suite, name: str, attacks: Iterable[str]) -> int:
    """The first of the images that the most of these attacks get past the undefended network, which knows it unperturbed."""
    clean, count = suite.clean[name]["undefended"], torch.zeros(len(suite.images))
    for attack in attacks:
        count += predict(suite.models[name], suite.images.pixels, suite.bank(name, attack).perturbations[:1]) != clean
    return int((count * (clean == suite.images.labels)).argmax())


def cases(suite: Suite, name: str, attacks: Iterable[str], image: int) -> tuple[Tensor, dict[str, Tensor]]:
    """An image ``[1, C, H, W]``, and what is added to it: nothing, then the first perturbation of each attack."""
    x = as_input(suite.images.pixels[image : image + 1])
    return x, {"clean": torch.zeros_like(x)} | {attack: suite.bank(name, attack).perturbations[:1] for attack in attacks}


def showcase(suite: Suite, name: str, attacks: Iterable[str], *, image: int) -> list[Shown]:
    """Fig. 1: one image as it is and under each attack, with every defence's prediction and confidence."""
    x, added = cases(suite, name, attacks, image)
    shown = []
    for case, v in added.items():
        with torch.no_grad():
            scores = {defense: network(x + v).softmax(1)[0] for defense, network in suite.defended[name].items()}
        predictions = {defense: (int(p.argmax()), float(p.max())) for defense, p in scores.items()}
        shown.append(Shown(case, (x + v)[0], v[0], predictions))
    return shown


def feature_maps(suite: Suite, name: str, layer: str, attacks: Iterable[str], *, image: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Fig. 5: the most vulnerable filter of ``layer`` for one image, clean and under each attack: before and after its unit.

    Two ``[H, W]`` for each case. :class:`StudyError` for a layer without a unit.
    """
    placed = {key: part for key, part in suite.defended[name]["ours"].named_modules() if isinstance(part, Regenerated)}
    if layer not in placed:
        raise StudyError(f"layer {layer!r} of {name} has no unit: choose from {', '.join(placed)}")
    regenerated = placed[layer]
    x, added = cases(suite, name, attacks, image)
    channel, maps = int(regenerated.unit.channels[0]), {}
    for case, v in added.items():
        inputs = layer_inputs(suite.models[name], [layer], x + v)[layer]
        with torch.no_grad():
            maps[case] = (regenerated.conv(inputs)[0, channel], regenerated(inputs)[0, channel])
    return maps
