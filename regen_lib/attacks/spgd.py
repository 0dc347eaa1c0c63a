"""sPGD (Mummadi et al., ICCV 2019; Shafahi et al., AAAI 2020; Deng and Karam 2020): gradient steps over mini-batches."""

import torch
from torch import Tensor, nn

from regen_lib.ascent import direction, loss_gradient
from regen_lib.banks import Bank, Threat
from regen_lib.lanes import lane_fooling, predictions, shuffled, split, to_bank
from regen_lib.progress import tqdm
from regen_lib.reproducible import generator


def spgd(
    network: nn.Module,
    pixels: Tensor,
    threat: Threat,
    *,
    seed: int,
    count: int,
    passes: int = 10,
    batch: int = 128,
    step: float = 0.1,
    towards: int = -1,
) -> Bank:
    """``count`` universal perturbations by projected gradient ascent, each from its own part of ``pixels``, images not clipped.

    ``v <- project(v + step * xi * sign(g))`` (l2: ``g / ||g||``), ``g`` the gradient over a mini-batch of the mean
    cross-entropy to the network's own clean predictions, each image's clipped at 9. With a class ``towards`` the attack is
    targeted: downhill, to that class (-1: none). A fixed step keeps moving at the end, so all ``passes`` run.
    """
    parts = split(pixels, count)
    clean = predictions(network, parts)
    labels, uphill = (clean, 1) if towards < 0 else (torch.full_like(clean, towards), -1)
    generators = [generator(seed, "spgd", k) for k in range(count)]
    v, lanes, history = torch.zeros(count, *pixels.shape[1:]), list(range(count)), []
    fooling = [0.0] * count
    for _ in (progress := tqdm(range(passes), desc="spgd")):
        order = shuffled(parts, generators)
        for start in range(0, parts.shape[1], batch):
            chosen = order[:, start : start + batch]
            slope = uphill * loss_gradient(network, parts, labels, v, chosen)
            v = threat.project(v + step * threat.xi * direction(slope, threat.norm))
        fooling = lane_fooling(network, parts, clean, v, lanes)
        history.append(sum(fooling) / count)
        progress.set_postfix(fooling=f"{history[-1]:.2f}")
    return to_bank("spgd", network, threat, v, fooling, history, seed)
