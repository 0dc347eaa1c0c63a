"""sPGD (Mummadi et al., ICCV 2019; Shafahi et al., AAAI 2020; Deng and Karam 2020): gradient steps over mini-batches."""

import math

import torch
from torch import Tensor, nn

from regen_lib.banks import Bank, Threat
from regen_lib.images import as_input
from regen_lib.lanes import lane_fooling, predictions, shuffled, split, to_bank
from regen_lib.progress import tqdm
from regen_lib.reproducible import generator

LOSS_CLIP = 9.0  # no single image may dominate the gradient


def spgd(
    network: nn.Module, pixels: Tensor, threat: Threat, *, seed: int, count: int, passes: int = 10, batch: int = 128, step: float = 0.1
) -> Bank:
    """``count`` universal perturbations by projected gradient ascent, each from its own part of ``pixels``, images not clipped.

    ``v <- project(v + step * xi * sign(g))`` (l2: ``g / ||g||``), ``g`` the gradient over a mini-batch of the mean
    cross-entropy to the network's own clean predictions, each image's clipped at 9. A fixed step keeps moving at the end,
    so all ``passes`` run.
    """
    parts = split(pixels, count)
    clean = predictions(network, parts)
    generators = [generator(seed, "spgd", k) for k in range(count)]
    v, lanes, history = torch.zeros(count, *pixels.shape[1:]), list(range(count)), []
    fooling = [0.0] * count
    for _ in (progress := tqdm(range(passes), desc="spgd")):
        order = shuffled(parts, generators)
        for start in range(0, parts.shape[1], batch):
            chosen = order[:, start : start + batch]
            v = threat.project(v + step * threat.xi * direction(gradient(network, parts, clean, v, chosen), threat.norm))
        fooling = lane_fooling(network, parts, clean, v, lanes)
        history.append(sum(fooling) / count)
        progress.set_postfix(fooling=f"{history[-1]:.2f}")
    return to_bank("spgd", network, threat, v, fooling, history, seed)


def gradient(network: nn.Module, parts: Tensor, clean: Tensor, v: Tensor, chosen: Tensor) -> Tensor:
    """Gradient ``[K, C, H, W]`` of each lane's clipped loss over its ``chosen`` ``[K, b]`` images."""
    lane = torch.arange(len(v)).repeat_interleave(chosen.shape[1])
    index = chosen.flatten()
    leaf = v.clone().requires_grad_()
    with torch.enable_grad():
        outputs = network(as_input(parts[lane, index]) + leaf[lane])
        losses = nn.functional.cross_entropy(outputs, clean[lane, index], reduction="none").clamp_max(LOSS_CLIP)
        (result,) = torch.autograd.grad(losses.sum() / chosen.shape[1], leaf)
    return result


def direction(gradient: Tensor, norm: float) -> Tensor:
    """The steepest unit step under the norm: signs for inf, the normalised gradient for 2."""
    if norm == math.inf:
        return gradient.sign()
    return nn.functional.normalize(gradient.flatten(1), dim=1).view_as(gradient)
