"""Fig. 3's and S1's data."""

from collections.abc import Sequence
from functools import cache

import pandas as pd
import torch
from torch import nn

from regen_lib.core.images import Images
from regen_lib.core.inference import draw, top1
from regen_lib.core.metrics import proportion_interval
from regen_lib.core.perturbations import Bank
from regen_lib.core.progress import tqdm
from regen_lib.core.seeding import generator
from regen_lib.core.surgery import find_conv
from regen_lib.regeneration.masking import ORDERS, masked_predictions, order_filters

DRAWS = 3  # random orders of a first layer, averaged; one deeper


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
    """Share of the lost top-1 that masking ``fraction`` of the filters brings back, for each network and order.

    ``ci_low`` and ``ci_high`` are of the masked network's top-1; what is lost is taken as it is.
    """
    part = table[table.depth == depth]
    none = part[(part.fraction == 0) & (part.order == "ranked")].set_index("network").accuracy
    rows = part[part.fraction == fraction].copy()
    lost = rows.clean - rows.network.map(none)
    found = {"restored": "accuracy", "ci_low": "ci_low", "ci_high": "ci_high"}
    shares = {share: (rows[top1] - rows.network.map(none)) / lost for share, top1 in found.items()}
    return rows[["network", "order"]].assign(**shares, metric="restored")
