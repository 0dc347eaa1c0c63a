"""Attackers who know the defence: Table 6 and Fig. 6."""

from collections.abc import Sequence

import pandas as pd
from torch import nn

from regen_lib.core.perturbations import Bank, load_bank
from regen_lib.study.tables.suite import Suite

FOLDER = "white_box"  # in the study's data


def white_box(
    suite: Suite, table: object, name: str, defenses: Sequence[str], attacks: Sequence[str], *, folder: str = FOLDER
) -> pd.DataFrame:
    """Table 6: each defence under the banks made against itself; the interval is of top-1.

    ``fooling_own`` is the strongest restart on the attacker's own images, ``passes`` how many the attack took, ``late_gain``
    what their second half added to the mean.
    """
    parts = []
    for defense in defenses:
        network = suite.with_defense(name, defense)
        banks = {attack: bank_against(suite, name, defense, attack, network, folder) for attack in attacks}
        rows = suite.compare(table, name, {defense: network}, banks, metric="accuracy")
        effort = [(max(banks[a].fooling), len(banks[a].history), late_gain(banks[a].history)) for a in rows.attack]
        parts.append(rows.join(pd.DataFrame(effort, columns=["fooling_own", "passes", "late_gain"])))
    return pd.concat(parts, ignore_index=True)


def bank_against(suite: Suite, name: str, defense: str, attack: str, defended: nn.Module, folder: str) -> Bank:
    """What an attacker who knows the defence made against it."""
    return load_bank(suite.data / folder / defense / name / f"{attack}.safetensors", network=defended)


def curves(suite: Suite, name: str, defenses: Sequence[str], attack: str, *, folder: str = FOLDER) -> pd.DataFrame:
    """Fig. 6: fooling ratio on the attacker's own images after each pass, for each defence: ``defense, passes, fooling``."""
    rows = []
    for defense in defenses:
        bank = bank_against(suite, name, defense, attack, suite.with_defense(name, defense), folder)
        for index, ratio in enumerate(bank.history):
            rows.append({"network": name, "defense": defense, "passes": index + 1, "fooling": ratio})
    return pd.DataFrame(rows)


def late_gain(history: Sequence[float]) -> float:
    """By how much the second half of an attack's passes raised the best fooling ratio."""
    return max(history) - max(history[: (len(history) + 1) // 2])
