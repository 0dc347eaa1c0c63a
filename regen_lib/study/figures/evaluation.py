"""Plots of how well the units restore: against strength, number of units, attack."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from regen_lib.study.figures.marks import PURPLE, attack_style, label_ends
from regen_lib.study.figures.style import DEFENSE_STYLE, legend_below, panels, rows_of_attacks, style
from regen_lib.study.titles import ATTACK_TITLES


def strength(results: pd.DataFrame, target: float) -> Figure:
    """Fooling ratio against xi. Columns ``label, xi, fooling, weakest``."""
    style()
    figure, axis = plt.subplots(figsize=(4.6, 2.8), layout="constrained")
    ends = {f"the paper's target, {target:g}": (target, "black")}
    for (label, part), color, marker in zip(results.groupby("label", sort=False), (PURPLE, "black"), ("o", "D"), strict=False):
        axis.plot(part.xi, part.fooling, color=color, marker=marker, label=label)
        axis.plot(part.xi, part.weakest, color=color, marker=marker, markersize=3, linestyle=":", label=f"{label}, weakest")
        ends[str(label)] = (part.fooling.iloc[-1], color)
    axis.axhline(target, color="black", linewidth=0.8, linestyle="--")
    axis.set(xlabel="ξ (pixels of 0-255)", ylabel="fooling ratio", ylim=(0, 1))
    axis.set_title("solid: mean of the bank; dotted: its weakest", fontsize=7, loc="left")
    label_ends(axis, ends)
    return figure


def ablation(results: pd.DataFrame) -> Figure:
    """Fig. S2 and the ratio: restoration accuracy against the number of units and the fraction regenerated.

    Columns ``sweep`` (``units`` or ``ratio``), ``value, attack, restoration, ci_low, ci_high``.
    """
    style()
    figure, axes = plt.subplots(1, 2, figsize=(7.5, 2.8), sharey=True, layout="constrained")
    for axis, sweep, label in zip(axes, ("units", "ratio"), ("regeneration units", "fraction of filters regenerated"), strict=True):
        for attack in ("uap", "uap_l2", "mean_unseen"):
            part = results[(results.sweep == sweep) & (results.attack == attack)].sort_values("value")
            error = [part.restoration - part.ci_low, part.ci_high - part.restoration]
            axis.errorbar(part.value, part.restoration, error, capsize=2, label=ATTACK_TITLES[attack], **attack_style(attack))
        axis.set_xlabel(label)
    axes[0].set_ylabel("restoration accuracy")
    axes[0].legend(loc="lower right")
    return figure


def summary(table: pd.DataFrame) -> Figure:
    """The study in one picture: top-1 under each attack, undefended and ours, one panel per network.

    Columns of the evaluation tables; the dotted line is the undefended network on clean images.
    """
    names, attacks = list(table.network.unique()), list(table.attack.unique())
    figure, axes = panels(names, height=0.9 + 0.16 * len(attacks))
    for axis, name in zip(axes[0], names, strict=True):
        part = table[table.network == name]
        clean = part[part.defense == "undefended"].clean_accuracy.iloc[0]
        axis.axvline(clean, color="black", linewidth=0.8, linestyle=":", label="undefended, clean images")
        for defense, (color, marker, label) in DEFENSE_STYLE.items():
            values = part[part.defense == defense].set_index("attack").accuracy.reindex(attacks)
            axis.plot(values, np.arange(len(attacks)), color=color, marker=marker, markersize=5, linestyle="none", label=label)
        rows_of_attacks(axis, attacks, "top-1")
    legend_below(figure, axes[0, 0])
    return figure
