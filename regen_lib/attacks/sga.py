"""SGA, stochastic gradient aggregation (Liu et al., ICCV 2023): the strongest universal attack known."""

import torch
from torch import Tensor, nn

from regen_lib.attacks._shared import door
from regen_lib.attacks._shared.loss_gradient import loss_gradient
from regen_lib.attacks._shared.side_by_side import Best, progress_bar, shuffled
from regen_lib.attacks._shared.universal_step import universal_step
from regen_lib.core.members import member_fooling, predictions, split
from regen_lib.core.options import Amount, Count
from regen_lib.core.perturbations import Bank, Threat
from regen_lib.core.progress import finish
from regen_lib.core.seeding import generator


@door.attack()
def sga(
    network: nn.Module,
    pixels: Tensor,
    threat: Threat,
    *,
    seed: int,
    count: Count,
    passes: Count = 20,
    patience: Count | None = None,
    batch: Count = 250,
    inner: Count = 10,
    repeats: Count = 4,
    step: Amount = 0.1,
) -> Bank:
    """``count`` universal perturbations, each from its own part of ``pixels``.

    For each mini-batch of ``batch`` images a trial perturbation walks ``repeats`` times over its sub-batches of ``inner``
    images, or all at once where it has fewer, by sign steps of ``step * xi``; the gradients met on the way are added up, and
    the perturbation itself takes one step along their sum. The loss is sPGD's: cross-entropy to the clean predictions, clipped
    at 9. It ends as sPGD does; the best pass counts.
    """
    parts = split(pixels, count)
    clean = predictions(network, parts)
    generators = [generator(seed, "sga", k) for k in range(count)]
    v, size, members = torch.zeros(count, *pixels.shape[1:]), step * threat.xi, range(count)
    best = Best(v, threat.target, patience)
    for _ in (progress := progress_bar(range(passes), "sga", network)):
        for chosen in shuffled(parts, generators).split(batch, dim=1):
            trial, total = v, torch.zeros_like(v)
            for _ in range(repeats):
                mixed = torch.stack([row[torch.randperm(len(row), generator=g)] for row, g in zip(chosen, generators, strict=True)])
                for part in mixed.split(inner, dim=1):
                    gradient = loss_gradient(network, parts, clean, trial, part)
                    trial, total = universal_step(trial, gradient, size, threat), total + gradient
            v = universal_step(v, total, size, threat)
        best.look(v, member_fooling(network, parts, clean, v, members), members)
        progress.set_postfix(fooling=f"{best.history[-1]:.2f}")
        if best.over:
            finish(progress)
            break
    return best.bank("sga", network, threat, seed)
