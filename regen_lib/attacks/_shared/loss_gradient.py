"""The loss that universal attacks raise, and its gradient."""

import torch
from torch import Tensor, nn

from regen_lib.core.images import as_input

AT_ONCE = 8_000_000  # values of the images in one gradient: of 224 x 224 some fifty, whose activations take a few GB
LOSS_CLIP = 9.0  # no single image may dominate a gradient that is followed uphill


def loss_gradient(network: nn.Module, parts: Tensor, labels: Tensor, v: Tensor, chosen: Tensor, *, clip: bool = True) -> Tensor:
    """Gradient ``[K, C, H, W]`` of each member's mean cross-entropy to ``labels`` over its ``chosen`` ``[K, b]`` images.

    As many members go through the network together as :data:`AT_ONCE` allows, one at least. ``clip``: each image's loss is clipped at
    9. Not for a loss that is followed downhill: of a thousand classes most are further away than that, and their images would have no
    gradient at all.
    """
    together = max(1, AT_ONCE // (chosen.shape[1] * v[0].numel()))
    pieces = [slice(start, start + together) for start in range(0, len(v), together)]
    return torch.cat([together_gradient(network, parts[p], labels[p], v[p], chosen[p], clip=clip) for p in pieces])


def together_gradient(network: nn.Module, parts: Tensor, labels: Tensor, v: Tensor, chosen: Tensor, *, clip: bool) -> Tensor:
    """:func:`loss_gradient` of members that go through the network together."""
    member = torch.arange(len(v)).repeat_interleave(chosen.shape[1])
    index = chosen.flatten()
    leaf = v.clone().requires_grad_()
    with torch.enable_grad():
        outputs = network(as_input(parts, member, index) + leaf[member])
        losses = nn.functional.cross_entropy(outputs, labels[member, index], reduction="none").clamp_max(LOSS_CLIP if clip else torch.inf)
        (result,) = torch.autograd.grad(losses.sum() / chosen.shape[1], leaf)
    return result
