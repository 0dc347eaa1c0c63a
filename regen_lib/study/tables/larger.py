"""Tables 1, 2, 3 and 5 once more, with every bank scaled: the same patterns, larger than what the units were trained on."""

from collections.abc import Iterable, Sequence

import pandas as pd

from regen_lib.study.tables.suite import Suite


def larger(suite: Suite, times: Iterable[float], attacks: Sequence[str], means: dict[str, Sequence[str]]) -> pd.DataFrame:
    """The rows of Table 1, and of Tables 2, 3 and 5 under ``attacks`` and their ``means``, each with its ``times``: the factor of xi."""
    parts = []
    for factor in times:
        cross = suite.cross_network("1", clip=False, xi=None, times=factor)
        own = suite.own_banks("2, 3, 5", attacks, means=means, times=factor)
        parts.append(pd.concat([cross, own]).assign(times=factor))
    return pd.concat(parts, ignore_index=True)


def reached(table: pd.DataFrame, attack: str, target: float) -> float | None:
    """The smallest xi at which ``attack`` fools a share ``target`` on every undefended network of :func:`larger`; None: at none of them."""
    own = table[(table.attack == attack) & (table.defense == "undefended") & (table.table != "1")]
    weakest = own.groupby("xi").fooling_ratio.min()
    return min(weakest.index[weakest >= target], default=None)
