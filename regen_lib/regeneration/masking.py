"""Noise masking (Sec. 4.1, Fig. 3 and S1): how much accuracy returns when chosen filters see the clean image."""

import torch
from torch import Tensor, nn

from regen_lib.core import contract
from regen_lib.core.errors import StudyError
from regen_lib.core.images import as_input, batch_size
from regen_lib.core.inference import perturb
from regen_lib.core.surgery import Wrapped, find_conv, reached, view, with_replaced
from regen_lib.regeneration.ranking import rank

BATCH = 250
ORDERS = ("ranked", "reversed", "random")


class Masked(Wrapped):
    """A convolution over a batch of clean images followed by the same images perturbed: ``[2n, C, H, W]``.

    The activations of ``channels`` under the perturbed images are replaced by those under the clean ones.
    """

    channels: Tensor

    def __init__(self, conv: nn.Conv2d, channels: Tensor) -> None:
        super().__init__(conv)
        self.register_buffer("channels", channels)

    def forward(self, input: Tensor) -> Tensor:
        clean, perturbed = self.conv(input).chunk(2)
        perturbed = perturbed.index_copy(1, self.channels, clean[:, self.channels])
        return torch.cat([clean, perturbed])


def order_filters(conv: nn.Conv2d, order: str, generator: torch.Generator) -> Tensor:
    """Filter indices ``[C]``: by l1 norm (``ranked``), from its other end (``reversed``), or drawn (``random``)."""
    if order not in ORDERS:
        raise StudyError(f"order {order!r} is unknown: choose one of {', '.join(ORDERS)}")
    if order == "random":
        return torch.randperm(conv.out_channels, generator=generator)
    return rank(conv) if order == "ranked" else rank(conv).flip(0)


def masked_predictions(network: nn.Module, layer: str, channels: Tensor, pixels: Tensor, v: Tensor, choice: Tensor | None = None) -> Tensor:
    """Predictions ``[N]`` for perturbed images, the noise masked in ``channels`` of ``layer`` ([] masks nothing).

    ``pixels`` uint8 ``[N, C, H, W]``; image i carries ``v[choice[i]]`` (the first where no choice is given), not clipped.
    A convolution that runs twice is masked both times.
    """
    contract.images(pixels)
    contract.perturbations(v, pixels, choice)
    filters = find_conv(network, layer).out_channels
    if not isinstance(channels, Tensor) or channels.dtype != torch.int64:
        raise StudyError(f"channels {channels!r}: give a tensor of int64, indices of filters of {layer} (torch.tensor([]).long() for none)")
    if channels.numel() and not 0 <= int(channels.min()) <= int(channels.max()) < filters:
        raise StudyError(f"channels {int(channels.min())} to {int(channels.max())}: {layer} has the filters 0 to {filters - 1}")
    choice = torch.zeros(len(pixels), dtype=torch.long) if choice is None else choice
    masked = with_replaced(network, {layer: Masked(view(find_conv(network, layer)), channels)})
    reached(masked, [layer], as_input(pixels[:1]).repeat(2, 1, 1, 1))
    found = []
    with torch.no_grad():
        size = batch_size(pixels, BATCH)
        for chunk, which in zip(pixels.split(size), choice.split(size), strict=True):
            both = torch.cat([as_input(chunk), perturb(chunk, v, which)])
            outputs = contract.logits(contract.ran(masked, both), len(both))
            found.append(outputs.argmax(1)[len(chunk) :])
    return torch.cat(found)
