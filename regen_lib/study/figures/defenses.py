"""Plots of all defences beside each other."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from regen_lib.study.figures.style import BLUE, GREEN, GREY, ORANGE, panels, style
from regen_lib.study.tables.verdict import on_every_network
from regen_lib.study.titles import ATTACK_TITLES, DEFENSE_TITLES

# colour and marker of each defence: transforms of the input grey, trained rectifiers green, retrained networks orange, ours blue
STYLE = {
    "undefended": ("black", "x"),
    "ours": (BLUE, "o"),
    "hardened": (BLUE, "D"),
    "prn": (GREEN, "s"),
    "prn_det": (GREEN, "D"),
    "hgd": (GREEN, "^"),
    "pixel_deflection": (GREY, "s"),
    "jpeg": (GREY, "D"),
    "feature_distillation": (GREY, "^"),
    "feature_norm_clipping": (GREY, "v"),
    "dead_zone": (GREY, "+"),
    "clamp": (GREY, "1"),
    "median_filter": (GREY, "2"),
    "gaussian_blur": (GREY, "3"),
    "adversarial_training": (ORANGE, "s"),
    "feature_denoising": (ORANGE, "D"),
    "shared_adversarial_training": (ORANGE, "^"),
    "universal_adversarial_training": (ORANGE, "v"),
    "democratic_training": (ORANGE, "P"),
}


def restorations(table: pd.DataFrame) -> Figure:
    """Restoration accuracy, mean over networks: one row per defence that all of them have, one column per attack."""
    style()
    mean = on_every_network(table).pivot_table(index="defense", columns="attack", values="restoration", sort=False)
    figure, axis = plt.subplots(figsize=(1.8 + 0.55 * mean.shape[1], 0.9 + 0.27 * len(mean)), layout="constrained")
    options = {"vmin": 0.5, "vmax": 1.0, "cmap": "viridis", "cbar": False, "linewidths": 0.5, "annot_kws": {"fontsize": 7}}
    sns.heatmap(mean, ax=axis, annot=True, fmt=".2f", **options)
    axis.set(xlabel="", ylabel="", title="restoration accuracy, mean over networks")
    axis.set_yticklabels([DEFENSE_TITLES.get(str(name), str(name)) for name in mean.index], rotation=0)
    axis.set_xticklabels([ATTACK_TITLES.get(str(name), str(name)) for name in mean.columns], rotation=40, ha="right")
    return figure


def verdict(table: pd.DataFrame) -> Figure:
    """Clean top-1 against top-1 under the worst attack: above the unseen ones, below the white-box ones; one panel per network.

    Columns ``network, defense, clean, worst, white_box``.
    """
    figure, axes = panels(list(table.network.unique()), rows=2, height=2.2)
    for column, (_, part) in enumerate(table.groupby("network", sort=False)):
        for row, value in enumerate(("worst", "white_box")):
            for _, point in part.iterrows():
                color, marker = STYLE.get(str(point.defense), (GREY, "o"))
                label = DEFENSE_TITLES.get(str(point.defense), str(point.defense))
                axes[row, column].plot(point.clean, point[value], marker, color=color, markersize=5, linestyle="none", label=label)
            axes[row, column].set(ylim=(0, 1))
        axes[1, column].set_xlabel("clean top-1")
    axes[0, 0].set_ylabel("top-1, worst attack")
    axes[1, 0].set_ylabel("top-1, white-box")
    drawn = {label: handle for axis in axes[0] for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(drawn.values(), drawn.keys(), loc="outside lower center", ncols=5, fontsize=7)
    return figure
