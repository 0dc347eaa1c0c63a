"""The loss that universal attacks raise, and its gradient."""

import torch
from torch import Tensor, nn

from regen_lib.core.images import as_input

LOSS_CLIP = 9.0  # no single image may dominate a gradient that is followed uphill


def loss_gradient(network: nn.Module, parts: Tensor, labels: Tensor, v: Tensor, chosen: Tensor, *, clip: bool = True) -> Tensor:
    """Gradient ``[K, C, H, W]`` of each lane's mean cross-entropy to ``labels`` over its ``chosen`` ``[K, b]`` images.

    ``clip``: each image's loss is clipped at 9. Not for a loss that is followed downhill: of a thousand classes most are further away than
    that, and their images would have no gradient at all.
    """
    lane = torch.arange(len(v)).repeat_interleave(chosen.shape[1])
    index = chosen.flatten()
    leaf = v.clone().requires_grad_()
    with torch.enable_grad():
        outputs = network(as_input(parts, lane, index) + leaf[lane])
        losses = nn.functional.cross_entropy(outputs, labels[lane, index], reduction="none").clamp_max(LOSS_CLIP if clip else torch.inf)
        (result,) = torch.autograd.grad(losses.sum() / chosen.shape[1], leaf)
    return result
