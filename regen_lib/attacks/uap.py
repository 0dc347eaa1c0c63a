"""UAP (Moosavi-Dezfooli et al., CVPR 2017): DeepFool steps of many images, summed under a norm bound."""

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from regen_lib.attacks._shared import door
from regen_lib.attacks._shared.deepfool import MAX_STEPS, deepfool
from regen_lib.attacks._shared.side_by_side import Best, progress_bar, shuffled
from regen_lib.core.images import as_input
from regen_lib.core.members import member_fooling, predictions, split
from regen_lib.core.options import Count
from regen_lib.core.perturbations import Bank, Threat
from regen_lib.core.progress import finish
from regen_lib.core.seeding import generator

CHUNK = 256  # images in one DeepFool batch: keeps the activations in cache


@door.attack()
def uap(
    network: nn.Module,
    pixels: Tensor,
    threat: Threat,
    *,
    seed: int,
    count: Count,
    passes: Count = 10,
    patience: Count | None = None,
    batch: Count = 1,
    classes: Annotated[int, Ge(2)] = 10,
) -> Bank:
    """``count`` universal perturbations, each from its own part of ``pixels`` uint8 ``[N, C, H, W]``, images not clipped.

    In every pass, for each image whose predicted class ``v`` does not change yet, ``v <- project(v + deepfool(x + v))``.
    ``batch=1`` is the reference order, one image at a time; a larger batch takes the steps of its images at the same ``v``
    and adds them up. As in the reference, a step is dropped where DeepFool ran out of iterations. A perturbation stops at the
    target fooling ratio on its own images, all of them at the latest after ``passes``, or after ``patience`` passes without
    gain; each gives the perturbation of its best pass.
    """
    parts = split(pixels, count)
    clean = predictions(network, parts)
    generators = [generator(seed, "uap", k) for k in range(count)]
    v = torch.zeros(count, *pixels.shape[1:])
    best = Best(v, threat.target, patience)
    for _ in (progress := progress_bar(range(passes), "uap", network)):
        order = shuffled(parts, generators)
        members = torch.tensor(best.running)
        for start in range(0, parts.shape[1], batch):
            chosen = order[members, start : start + batch]
            v[members] = threat.project(v[members] + steps(network, parts, clean, v, members, chosen, classes))
        best.look(v, member_fooling(network, parts, clean, v, members.tolist()), members.tolist())
        progress.set_postfix(fooling=f"{best.history[-1]:.2f}", running=len(best.running))
        if best.over:
            finish(progress)
            break
    return best.bank("uap", network, threat, seed)


def steps(network: nn.Module, parts: Tensor, clean: Tensor, v: Tensor, members: Tensor, chosen: Tensor, classes: int) -> Tensor:
    """Per member, the sum of the DeepFool steps of its chosen images that ``v`` does not fool yet: ``[members, C, H, W]``.

    ``chosen`` ``[members, b]`` indexes each member's images in ``parts``.
    """
    owner = torch.arange(len(members)).repeat_interleave(chosen.shape[1])
    member, index = members[owner], chosen.flatten()
    total = torch.zeros(len(members), *v.shape[1:])
    for part in torch.arange(len(owner)).split(CHUNK):
        x = as_input(parts, member[part], index[part]) + v[member[part]]
        with torch.no_grad():
            outputs = network(x)
        unfooled = outputs.argmax(1) == clean[member[part], index[part]]
        if bool(unfooled.any()):
            change, taken = deepfool(network, x[unfooled], classes=classes, outputs=outputs[unfooled])
            accepted = taken < MAX_STEPS - 1
            total.index_add_(0, owner[part][unfooled][accepted], change[accepted].contiguous())
    return total
