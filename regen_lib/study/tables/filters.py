"""Fig. 2's data."""

from collections.abc import Sequence
from copy import deepcopy

import pandas as pd
from torch import Tensor, nn

from regen_lib.core.seeding import generator
from regen_lib.core.surgery import find_conv
from regen_lib.networks.blocks import initialise
from regen_lib.regeneration.ranking import filter_norms, observed_noise, rank


def before_training(network: nn.Module, name: str, *, seed: int) -> nn.Module:
    """A copy of the trained ``network`` with the weights that its training started from (notebook 00b), up to conv1's scale."""
    return initialise(deepcopy(network), generator(seed, "weights", name))


def filter_table(name: str, network: nn.Module, layers: Sequence[str], pixels: Tensor, v: Tensor, drawn: nn.Module) -> pd.DataFrame:
    """Fig. 2's data: one row per filter of each layer, in the order of the rank.

    ``norm`` is ||W||_1, ``drawn`` what it is in the network of that name, before training; ``bound`` and ``observed`` are the
    largest over the images; ``tightest`` is the largest share that the noise reaches of its own image's bound.
    """
    tables = []
    for depth, (layer, (noise, bound)) in enumerate(observed_noise(network, layers, pixels, v).items(), start=1):
        conv = find_conv(network, layer)
        order = rank(conv)
        columns = {
            "norm": filter_norms(conv),
            "drawn": filter_norms(find_conv(drawn, layer)),
            "bound": bound.amax(0),
            "observed": noise.amax(0),
        }
        columns["tightest"] = (noise / bound.clamp_min(1e-12)).amax(0)
        table = pd.DataFrame({key: value[order].numpy(force=True) for key, value in columns.items()})
        table.insert(0, "position", range(1, len(table) + 1))
        table.insert(0, "filter", order.numpy(force=True))
        tables.append(table.assign(network=name, layer=layer, depth=depth))
    return pd.concat(tables, ignore_index=True)
