"""Noise masking (Sec. 4.1, Fig. 3 and S1): what accuracy returns when chosen filters see the clean image."""

from collections.abc import Sequence
from functools import cache

import pandas as pd
import torch
from torch import Tensor, nn

from regen_lib.banks import Bank
from regen_lib.errors import StudyError
from regen_lib.images import Images, as_input, at_once
from regen_lib.inference import draw, perturb, top1
from regen_lib.metrics import proportion_interval
from regen_lib.progress import tqdm
from regen_lib.ranking import find_conv, rank
from regen_lib.reproducible import generator
from regen_lib.surgery import with_replaced

BATCH = 250
ORDERS = ("ranked", "reversed", "random")
DRAWS = 3  # random orders of a first layer, averaged; one deeper


class Masked(nn.Module):
    """A convolution over a batch of clean images followed by the same images perturbed: ``[2n, C, H, W]``.

    The activations of ``channels`` under the perturbed images are replaced by those under the clean ones.
    """

    channels: Tensor

    def __init__(self, conv: nn.Conv2d, channels: Tensor) -> None:
        super().__init__()
        self.conv = conv
        self.register_buffer("channels", channels)

    def forward(self, x: Tensor) -> Tensor:
        clean, perturbed = self.conv(x).chunk(2)
        perturbed = perturbed.index_copy(1, self.channels, clean[:, self.channels])
        return torch.cat([clean, perturbed])


def order_filters(conv: nn.Conv2d, order: str, generator: torch.Generator) -> Tensor:
    """Filter indices ``[C]``: by l1 norm (``ranked``), from its other end (``reversed``), or drawn (``random``)."""
    if order not in ORDERS:
        raise StudyError(f"order {order!r} is unknown: choose one of {', '.join(ORDERS)}")
    if order == "random":
        return torch.randperm(conv.out_channels, generator=generator)
    return rank(conv) if order == "ranked" else rank(conv).flip(0)


def masked_predictions(network: nn.Module, layer: str, channels: Tensor, pixels: Tensor, v: Tensor, choice: Tensor) -> Tensor:
    """Predictions ``[N]`` for perturbed images, the noise masked in ``channels`` of ``layer`` ([] masks nothing).

    ``pixels`` uint8 ``[N, C, H, W]``; image i carries ``v[choice[i]]``, not clipped.
    """
    conv = find_conv(network, layer)
    masked = with_replaced(network, {layer: Masked(conv, channels)})
    found = []
    with torch.no_grad():
        size = at_once(pixels, BATCH)
        for chunk, which in zip(pixels.split(size), choice.split(size), strict=True):
            both = torch.cat([as_input(chunk), perturb(chunk, v, which)])
            found.append(masked(both).argmax(1)[len(chunk) :])
    return torch.cat(found)


def masking_table(
    name: str, network: nn.Module, layers: Sequence[str], fractions: Sequence[float], images: Images, bank: Bank, *, seed: int
) -> pd.DataFrame:
    """Fig. 3's data: top-1 for each layer, order and masked fraction of filters, with a 95 % interval, beside the clean top-1.

    Every image carries one perturbation of the bank, drawn uniformly. Random orders of the first layer are averaged over three draws.
    """
    choice = draw(len(images), len(bank), generator(seed, "masking", name))
    rows, clean = [], top1(network, images)

    @cache  # nothing and everything masked are the same in every order
    def hits(layer: str, channels: tuple[int, ...]) -> int:
        chosen = torch.tensor(channels, dtype=torch.long)
        found = masked_predictions(network, layer, chosen, images.pixels, bank.perturbations, choice)
        return int((found == images.labels).sum())

    for depth, layer in enumerate(tqdm(layers, desc=name, leave=False), start=1):
        for order in ORDERS:
            count = DRAWS if order == "random" and depth == 1 else 1
            draws = [order_filters(find_conv(network, layer), order, generator(seed, name, layer, i)).tolist() for i in range(count)]
            for fraction in fractions:
                found = [hits(layer, tuple(sorted(filters[: round(fraction * len(filters))]))) for filters in draws]
                low, high = proportion_interval(sum(found) / count, len(images))
                row = {"network": name, "layer": layer, "depth": depth, "order": order, "fraction": fraction, "images": len(images)}
                row |= {"accuracy": sum(found) / count / len(images), "ci_low": low, "ci_high": high}
                rows.append(row | {"clean": clean, "xi": bank.threat.xi})
    return pd.DataFrame(rows)


def restored(table: pd.DataFrame, fraction: float, depth: int = 1) -> pd.DataFrame:
    """Share of the lost top-1 that masking ``fraction`` of the filters brings back, for each network and order."""
    part = table[table.depth == depth]
    none = part[(part.fraction == 0) & (part.order == "ranked")].set_index("network").accuracy
    rows = part[part.fraction == fraction].copy()
    lost = rows.clean - rows.network.map(none)
    rows["restored"] = (rows.accuracy - rows.network.map(none)) / lost
    return rows[["network", "order", "restored"]]
