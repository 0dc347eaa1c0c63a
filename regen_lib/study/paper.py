"""The paper's own numbers, on ImageNet, so that they can stand beside ours: ``paper.csv``, one row per number.

Columns ``table, network, defense, attack, value``. Tables 1 and 6 hold top-1, Tables 2 to 5 restoration accuracy, Fig. 6 the
largest fooling ratio on the attacker's own images, ``clean`` the
networks' top-1 without attack. In Table 1 ``attack`` is the network that the UAPs were made for. Table 4's
``times_1_5``, ``times_2`` and ``times_2_5`` are the paper's 1.5, 2 and 2.5 times xi. What Table 6 calls "Ours" was trained on attacks
against the units themselves: it stands here as ``hardened``.
"""

from functools import cache
from pathlib import Path

import pandas as pd

from regen_lib.core.errors import StudyError

FILE = Path(__file__).with_name("paper.csv")
KEYS = ["network", "defense", "attack"]


@cache
def numbers() -> pd.DataFrame:
    """All of ``paper.csv``."""
    return pd.read_csv(FILE, dtype={"table": str})


def number(table: str, network: str, defense: str, attack: str) -> float:
    """One number of the paper; :class:`StudyError` unless it has exactly one there."""
    cell = {"table": table, "network": network, "defense": defense, "attack": attack}
    found = numbers()
    for key, wanted in cell.items():
        found = found[found[key] == wanted]
    if len(found) != 1:
        raise StudyError(f"the paper has {len(found)} numbers for {cell}: see {FILE.name}")
    return float(found.value.iloc[0])


def beside(measured: pd.DataFrame, *tables: str) -> pd.DataFrame:
    """A finished table with one more column ``paper`` after ``seed``: the number in ``tables`` of the paper, NaN where it has none.

    ``measured`` has the columns ``network, defense, attack``.
    """
    theirs = numbers()
    chosen = theirs[theirs.table.isin(tables)].set_index(KEYS)[["value"]].rename(columns={"value": "paper"})
    joined = measured.join(chosen, on=KEYS, validate="m:1")
    columns = list(measured.columns)
    columns.insert(columns.index("seed") + 1, "paper")
    return joined[columns]
