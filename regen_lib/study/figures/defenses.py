"""Plots of all defences beside each other."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from regen_lib.study.figures.marks import SHADES
from regen_lib.study.figures.style import BLUE, GREEN, GREY, ORANGE, style
from regen_lib.study.tables.verdict import on_every_network
from regen_lib.study.titles import ATTACK_TITLES, DEFENSE_TITLES

COLORS = {"undefended": ORANGE, "ours": BLUE, "hardened": GREEN}  # of the others, black
RETRAINED = (  # drawn hollow: the network's own weights are trained again
    "adversarial_training",
    "feature_denoising",
    "shared_adversarial_training",
    "universal_adversarial_training",
    "democratic_training",
)
MEASURES = {"clean": "clean top-1", "worst": "top-1, worst attack", "white_box": "top-1, white-box"}


def restorations(table: pd.DataFrame) -> Figure:
    """Restoration accuracy, mean over networks: one row per defence that all of them have, one column per attack."""
    style()
    mean = on_every_network(table).pivot_table(index="defense", columns="attack", values="restoration", sort=False)
    figure, axis = plt.subplots(figsize=(1.8 + 0.55 * mean.shape[1], 0.9 + 0.27 * len(mean)), layout="constrained")
    options = {"vmin": 0.5, "vmax": 1.0, "cmap": SHADES, "cbar": False, "linewidths": 0.5}
    sns.heatmap(mean, ax=axis, annot=True, fmt=".2f", annot_kws={"fontsize": 7, "color": "black"}, **options)
    axis.set(xlabel="", ylabel="", title=f"restoration accuracy, mean over networks (± at most {widest(table):.3f}: 95 % over test images)")
    axis.set_yticklabels([DEFENSE_TITLES[str(name)] for name in mean.index], rotation=0)
    axis.set_xticklabels([ATTACK_TITLES[str(name)] for name in mean.columns], rotation=40, ha="right")
    return figure


def widest(table: pd.DataFrame) -> float:
    """The largest half of an interval that a mean over networks has: those of its independent terms, added as squares."""
    half = (on_every_network(table).assign(half=lambda rows: (rows.ci_high - rows.ci_low) / 2)).groupby(["defense", "attack"]).half
    return float((half.agg(lambda values: (values**2).sum() ** 0.5) / half.count()).max())


def verdict(table: pd.DataFrame) -> Figure:
    """Top-1 on clean images, under the worst unseen attack and in the white box: a row for each defence, the best under attack above.

    Columns ``network, defense, clean, worst, white_box``. Small dots are networks, large ones their mean, where all have the defence;
    the dotted line is the undefended networks' mean.
    """
    style()
    means = on_every_network(table).groupby("defense")[list(MEASURES)].mean()
    order = table.groupby("defense").worst.mean().sort_values(ascending=False).index
    figure, axes = plt.subplots(1, len(MEASURES), figsize=(8.5, 0.9 + 0.22 * len(order)), sharey=True, layout="constrained")
    for axis, (measure, words) in zip(axes, MEASURES.items(), strict=True):
        axis.axvline(means[measure]["undefended"], color=ORANGE, linewidth=0.8, linestyle=":")
        for row, defense in enumerate(order):
            color = COLORS.get(str(defense), "black")
            networks, title = table[table.defense == defense][measure], DEFENSE_TITLES[str(defense)]
            axis.plot(networks, [row] * len(networks), "o", color=GREY, markersize=2.5, alpha=0.6, label=f"{title}, each")
            if defense in means.index:
                face = "white" if defense in RETRAINED else color
                axis.plot(means[measure][defense], row, "o", color=color, markerfacecolor=face, markersize=6, label=title)
        axis.set(xlim=(0, 1), xlabel=words)
        axis.grid(axis="y", linewidth=0.3)
    axes[0].set_yticks(range(len(order)), [DEFENSE_TITLES[str(name)] for name in order])
    axes[0].invert_yaxis()
    for label, defense in zip(axes[0].get_yticklabels(), order, strict=True):
        label.set_color(COLORS.get(str(defense), "black"))
    figure.supxlabel("large: mean over networks, small: each; hollow: the network's own weights are trained again", fontsize=7)
    return figure
