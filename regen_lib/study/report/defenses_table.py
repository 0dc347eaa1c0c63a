"""Where each defence wins and where it loses: notebook 08's tables, condensed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from regen_lib.core.errors import StudyError
from regen_lib.defenses import UNITS
from regen_lib.study.report.names import DEFENSE_TITLES
from regen_lib.study.tables.verdict import half_intervals, on_every_network, verdict

MET = ("uap", "uap_l2")  # the attack that every trained defence met, also under another norm
NO_ATTACK = ("random_signs", "mean_unseen")  # the control, the mean itself


def built_on(params: Mapping[str, Any]) -> dict[str, str]:
    """Which defence is built on which other one, whose training then is part of its own: from ``rivals`` in params.yaml."""
    return {name: row["built_on"].removeprefix("defenses/") for name, row in params["rivals"].items() if row["built_on"] != "networks"}


def condensed(tables: dict[str, pd.DataFrame], minutes: pd.DataFrame | None, built: Mapping[str, str]) -> pd.DataFrame:
    """The verdict's means over networks and attacks not met in training, one row per defence that all networks have, with what it costs.

    ``half`` is half the interval of ``restoration``.
    """
    table = on_every_network(tables["defenses"])
    attacks = [attack for attack in table.attack.unique() if attack not in (*MET, *NO_ATTACK)]
    if not attacks:
        raise StudyError("metrics/defenses.csv has no attack that the defences did not meet in training: add one to generalization.attacks")
    means = verdict(table, tables["table6_defenses"], attacks).drop(columns="network").groupby("defense", sort=False).mean()
    means["half"] = half_intervals(table)
    own = table[table.attack == "uap"].groupby("defense").restoration.mean()
    costs = tables["defense_costs"].groupby("defense")[["parameters", "inference"]].mean()
    means = means.join(own.rename("own")).join(costs)
    return means.assign(training=[training_seconds(str(defense), minutes, built) for defense in means.index])


def training_seconds(defense: str, minutes: pd.DataFrame | None, built: Mapping[str, str]) -> float:
    """CPU seconds that a defence took to build and train, mean over the networks; NaN where not measured.

    ``built`` is :func:`built_on`'s: what a defence is built on counts as well.
    """
    if defense == "undefended":
        return 0.0
    if minutes is None:
        return float("nan")
    if defense in UNITS:
        own = ("units", "hardened")[: UNITS.index(defense) + 1]  # hardening goes on from the units as they were trained
        return float(sum(minutes[minutes.stage == stage].cpu_seconds.mean() for stage in own))
    networks = max(1, int((minutes.stage == "units").sum()))
    rows = minutes[(minutes.stage == "rivals") & minutes.network.isin((defense, built.get(defense, defense)))]
    return float(rows.cpu_seconds.sum() / networks) if len(rows) else float("nan")


def block(tables: dict[str, pd.DataFrame], minutes: pd.DataFrame | None, built: Mapping[str, str]) -> str:
    """The report's table of all defences, and who leads by each measure."""
    means = condensed(tables, minutes, built)
    head = ["defence", "clean top-1", "restoration, own UAPs", "restoration, unseen attacks", "top-1, unseen", "top-1, worst unseen"]
    head += ["top-1, white-box", "weights trained", "training, CPU-s", "inference"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for defense, row in means.iterrows():
        title = DEFENSE_TITLES[str(defense)]
        cells = [f"**{title}**" if defense == "ours" else title]
        cells += [f"{row.clean:.3f}", f"{row.own:.3f}", f"{row.restoration:.3f} <sub>±{row.half:.3f}</sub>"]
        cells += [f"{row['mean']:.3f}", f"{row.worst:.3f}", f"{row.white_box:.3f}", f"{row.parameters:,.0f}"]
        cells += ["not measured" if np.isnan(row.training) else f"{row.training:.0f}"]
        cells += ["not measured" if np.isnan(row.inference) else f"{row.inference:.1f} x"]
        lines.append("| " + " | ".join(cells) + " |")
    names = {
        "restoration": "mean restoration under unseen attacks",
        "mean": "mean top-1",
        "worst": "worst attack",
        "white_box": "white-box",
    }
    images = int(tables["defenses"].images.iloc[0])
    few = f"{images:,} test images an attack; ± is half of a 95 % interval, and what lies closer together is not told apart."
    best = "; by ".join(leaders(means[key], title) for key, title in names.items())
    return "\n".join([*lines, "", f"{few} The first three, by {best}."])


def ranked(values: pd.Series) -> pd.Series:
    """The defences' values, the best first. Hardened units are ours as well, so they take nobody's place."""
    return values.drop(["undefended", "hardened"], errors="ignore").sort_values(ascending=False)


def place(order: pd.Series) -> int:
    """Where ours stands among :func:`ranked` values, from 1 on."""
    return list(order.index).index("ours") + 1


def leaders(values: pd.Series, title: str) -> str:
    """The three best by a measure, and where ours stands."""
    order = ranked(values)
    best = ", ".join(f"{DEFENSE_TITLES[str(name)]} {value:.3f}" for name, value in order.head(3).items())
    return f"{title}: {best}" + ("" if place(order) <= 3 else f" (ours {order['ours']:.3f}, place {place(order)} of {len(order)})")
