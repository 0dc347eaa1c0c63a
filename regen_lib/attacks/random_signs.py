"""The control: random signs at the full norm. What any attack must beat."""

import math

import torch
from torch import Tensor, nn

from regen_lib.attacks._shared import door
from regen_lib.attacks._shared.side_by_side import to_bank
from regen_lib.core.members import member_fooling, predictions, split
from regen_lib.core.options import Count
from regen_lib.core.perturbations import Bank, Threat
from regen_lib.core.seeding import generator


@door.attack(gradients=False)
def random_signs(network: nn.Module, pixels: Tensor, threat: Threat, *, seed: int, count: Count) -> Bank:
    """``count`` perturbations of independent random signs, each value ``xi`` (l2: the values that give norm ``xi``)."""
    parts = split(pixels, count)
    shape = (count, *pixels.shape[1:])
    signs = torch.randint(2, shape, generator=generator(seed, "random signs")).float() * 2 - 1
    v = signs * (threat.xi if threat.norm == math.inf else threat.xi / math.sqrt(signs[0].numel()))
    fooling = member_fooling(network, parts, predictions(network, parts), v, range(count))
    return to_bank("random_signs", network, threat, v, fooling, [], seed)
