"""sPGD (Mummadi et al., ICCV 2019; Shafahi et al., AAAI 2020; Deng and Karam 2020): gradient steps over mini-batches."""

import torch
from torch import Tensor, nn

from regen_lib.attacks._shared import door
from regen_lib.attacks._shared.loss_gradient import loss_gradient
from regen_lib.attacks._shared.side_by_side import Best, progress_bar, shuffled
from regen_lib.attacks._shared.universal_step import universal_step
from regen_lib.core.members import member_fooling, predictions, split
from regen_lib.core.options import Amount, Count, Natural
from regen_lib.core.perturbations import Bank, Threat
from regen_lib.core.progress import finish
from regen_lib.core.seeding import generator


@door.attack()
def spgd(
    network: nn.Module,
    pixels: Tensor,
    threat: Threat,
    *,
    seed: int,
    count: Count,
    passes: Count = 10,
    patience: Count | None = None,
    batch: Count = 128,
    step: Amount = 0.1,
    towards: Natural | None = None,
    labels: Tensor | None = None,
) -> Bank:
    """``count`` universal perturbations by projected gradient ascent, each from its own part of ``pixels``, images not clipped.

    ``v <- project(v + step * xi * sign(g))`` (l2: ``g / ||g||``), ``g`` the gradient over a mini-batch of the mean
    cross-entropy to the network's own clean predictions, or to ``labels`` ``[N]``, each image's clipped at 9. With a class
    ``towards`` the attack is targeted: downhill, to that class. It ends after ``passes``, at the target fooling
    ratio, or after ``patience`` passes without gain; the best pass counts.
    """
    parts = split(pixels, count)
    clean = predictions(network, parts)
    goal, uphill = (clean, 1) if labels is None else (split(labels, count), 1)
    if towards is not None:
        goal, uphill = torch.full_like(clean, towards), -1
    generators = [generator(seed, "spgd", k) for k in range(count)]
    v, members = torch.zeros(count, *pixels.shape[1:]), range(count)
    best = Best(v, threat.target, patience)
    for _ in (progress := progress_bar(range(passes), "spgd", network)):
        order = shuffled(parts, generators)
        for start in range(0, parts.shape[1], batch):
            gradient = uphill * loss_gradient(network, parts, goal, v, order[:, start : start + batch], clip=uphill > 0)
            v = universal_step(v, gradient, step * threat.xi, threat)
        best.look(v, member_fooling(network, parts, clean, v, members), members)
        progress.set_postfix(fooling=f"{best.history[-1]:.2f}")
        if best.over:
            finish(progress)
            break
    return best.bank("spgd", network, threat, seed)
