"""The step of universal attacks that follow a gradient."""

import math

from torch import Tensor
from torch.nn.functional import normalize

from regen_lib.core.perturbations import Threat


def universal_step(v: Tensor, gradient: Tensor, size: float, threat: Threat) -> Tensor:
    """``v <- project(v + size * d)``, d the gradient's sign (l-inf) or the gradient at norm 1 (l2).

    ``v`` and ``gradient`` ``[K, C, H, W]``, ``size`` in pixels; back comes ``[K, C, H, W]``.
    """
    direction = gradient.sign() if threat.norm == math.inf else normalize(gradient.flatten(1), dim=1).view_as(gradient)
    return threat.project(v + size * direction)
