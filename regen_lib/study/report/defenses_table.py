"""Where each defence wins and where it loses: notebook 08's tables, condensed."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from regen_lib.study.titles import DEFENSE_TITLES

UPON = {"prn_det": "prn"}  # whose training is the other's and its own
NOT_AN_ATTACK = ("test_l2", "random_signs", "mean")  # another norm, the control, the mean itself


def verdict(table: pd.DataFrame, white_box: pd.DataFrame, attacks: Sequence[str]) -> pd.DataFrame:
    """One row a network and defence: ``clean, mean, worst, restoration, white_box``.

    Top-1 on clean images, over ``attacks`` the mean and the worst, the mean restoration accuracy, and top-1 under the worse of
    the white-box attackers.
    """
    part = table[table.attack.isin(list(attacks))].groupby(["network", "defense"], sort=False)
    aggregated = {"clean": ("clean_accuracy", "first"), "mean": ("accuracy", "mean"), "worst": ("accuracy", "min")}
    found = part.agg(**aggregated, restoration=("restoration", "mean"))
    known = white_box.groupby(["network", "defense"]).accuracy.min().rename("white_box")
    return found.join(known).reset_index()


def condensed(tables: dict[str, pd.DataFrame], minutes: pd.DataFrame | None) -> pd.DataFrame:
    """The verdict's means over networks, a row a defence, with what each costs; ``half`` is half the interval of ``restoration``."""
    table = tables["defenses"]
    attacks = [attack for attack in table.attack.unique() if attack not in NOT_AN_ATTACK]
    means = verdict(table, tables["table6_defenses"], attacks).drop(columns="network").groupby("defense", sort=False).mean()
    every = table[table.attack == "mean"].assign(half=lambda rows: (rows.ci_high - rows.ci_low) / 2)
    means["half"] = every.groupby("defense").half.agg(lambda half: np.sqrt((half**2).sum()) / len(half))
    own = table[table.attack == "test"].groupby("defense").restoration.mean()
    costs = tables["defense_costs"].groupby("defense")[["parameters", "inference"]].mean()
    means = means.join(own.rename("own")).join(costs)
    return means.assign(training=[training_seconds(str(defense), minutes) for defense in means.index])


def training_seconds(defense: str, minutes: pd.DataFrame | None) -> float:
    """CPU seconds that a defence took to build and train, mean over the networks; NaN where not measured."""
    if defense == "undefended":
        return 0.0
    if minutes is None:
        return float("nan")
    if defense == "ours":
        return float(minutes[minutes.stage == "units"].cpu_seconds.mean())
    networks = max(1, int((minutes.stage == "units").sum()))
    rows = minutes[(minutes.stage == "rivals") & minutes.network.isin((defense, UPON.get(defense, defense)))]
    return float(rows.cpu_seconds.sum() / networks) if len(rows) else float("nan")


def block(tables: dict[str, pd.DataFrame], minutes: pd.DataFrame | None) -> str:
    """The README's table of all defences, and who leads by each measure."""
    means = condensed(tables, minutes)
    head = ["defence", "clean top-1", "restoration, own UAPs", "restoration, all attacks", "top-1, all attacks", "top-1, worst attack"]
    head += ["top-1, white-box", "weights trained", "training, CPU-s", "inference"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for defense, row in means.iterrows():
        title = DEFENSE_TITLES.get(str(defense), str(defense))
        cells = [f"**{title}**" if defense == "ours" else title]
        cells += [f"{row.clean:.3f}", f"{row.own:.3f}", f"{row.restoration:.3f} <sub>±{row.half:.3f}</sub>"]
        cells += [f"{row['mean']:.3f}", f"{row.worst:.3f}", f"{row.white_box:.3f}", f"{row.parameters:,.0f}"]
        cells += ["not measured" if np.isnan(row.training) else f"{row.training:.0f}", f"{row.inference:.1f} x"]
        lines.append("| " + " | ".join(cells) + " |")
    names = {"restoration": "mean restoration", "mean": "mean top-1", "worst": "worst attack", "white_box": "white-box"}
    return "\n".join([*lines, "", f"Leading, by {'; by '.join(leaders(means[key], title) for key, title in names.items())}."])


def leaders(values: pd.Series, title: str) -> str:
    """The three best by a measure, and where ours stands."""
    order = values.drop("undefended").sort_values(ascending=False)
    best = ", ".join(f"{DEFENSE_TITLES.get(str(name), str(name))} {value:.3f}" for name, value in order.head(3).items())
    place = list(order.index).index("ours") + 1
    return f"{title}: {best}" + ("" if place <= 3 else f" (ours {order['ours']:.3f}, place {place} of {len(order)})")
