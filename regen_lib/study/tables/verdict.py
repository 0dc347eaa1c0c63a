"""Where each defence wins and where it loses, on each network."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def verdict(table: pd.DataFrame, white_box: pd.DataFrame, attacks: Sequence[str]) -> pd.DataFrame:
    """One row per network and defence: ``clean, mean, worst, restoration, white_box``.

    Top-1 on clean images, over ``attacks`` the mean and the worst, the mean restoration accuracy, and top-1 under the worse of
    the white-box attackers.
    """
    part = table[table.attack.isin(list(attacks))].groupby(["network", "defense"], sort=False)
    aggregated = {"clean": ("clean_accuracy", "first"), "mean": ("accuracy", "mean"), "worst": ("accuracy", "min")}
    found = part.agg(**aggregated, restoration=("restoration", "mean"))
    known = white_box.groupby(["network", "defense"]).accuracy.min().rename("white_box")
    return found.join(known).reset_index()


def half_intervals(table: pd.DataFrame) -> pd.Series:
    """For each defence, half the 95 % interval of its restoration under ``mean_unseen``, the mean over the networks of ``table``."""
    every = table[table.attack == "mean_unseen"].assign(half=lambda rows: (rows.ci_high - rows.ci_low) / 2)
    return every.groupby("defense").half.agg(lambda half: np.sqrt((half**2).sum()) / len(half))


def on_every_network(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the defences that all networks of ``table`` have: means over networks are of the same networks then."""
    reach = table.groupby("defense").network.transform("nunique")
    return table[reach == table.network.nunique()]
