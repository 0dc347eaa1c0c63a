"""Every plot of the study: tidy data in, a matplotlib figure out, saved as PNG and SVG with the same bytes on every rerun."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regen_lib.artifacts import write_bytes
from regen_lib.paper import ATTACK_TITLES, TITLES

# Okabe and Ito's palette: told apart with any kind of colour vision
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7F7F7F"
DEFENSE_STYLE = {"undefended": (ORANGE, "s", "undefended"), "ours": (BLUE, "o", "regenerated (ours)")}
HARDENED = (GREEN, "D", "ours, iterative training")
ORDER_STYLE = {"ranked": (BLUE, "o", "most vulnerable first"), "random": (GREY, "D", "random"), "reversed": (ORANGE, "s", "least first")}


def style() -> None:
    """The study's look; called by every figure, so that none depends on what ran before."""
    sns.set_theme(style="ticks", context="paper", font_scale=1.0)
    mpl.rcParams.update({"svg.hashsalt": "regen", "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 110})
    mpl.rcParams.update({"legend.frameon": False, "savefig.bbox": "tight"})


def save(figure: Figure, path: str | Path) -> None:
    """Write ``path`` and its SVG twin, without time stamps."""
    kinds: dict[str, dict[str, Any]] = {".png": {"dpi": 150}, ".svg": {"metadata": {"Date": None}}}
    for suffix, options in kinds.items():
        target, buffer = Path(path).with_suffix(suffix), BytesIO()
        figure.savefig(buffer, format=suffix[1:], **options)
        write_bytes(target, buffer.getvalue())


def panels(names: Sequence[str], *, rows: int = 1, height: float = 2.2, sharey: bool = True) -> tuple[Figure, np.ndarray]:
    """A row of axes for each of ``rows`` with one panel a network, titled: the axes come as ``[rows, len(names)]``."""
    style()
    size = (1.0 + 2.0 * max(len(names), 2), 0.3 + height * rows)
    figure, axes = plt.subplots(rows, len(names), figsize=size, sharey="row" if sharey else False, squeeze=False, layout="constrained")
    for axis, name in zip(axes[0], names, strict=True):
        axis.set_title(TITLES.get(name, name))
    return figure, axes


def legend_below(figure: Figure, axis: Axes) -> None:
    """One legend for all panels, under them."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))


def filter_noise(noise: pd.DataFrame) -> Figure:
    """Fig. 2: per ranked filter of the first layer, the bound of Eq. 2 and the noise observed.

    Columns ``network, position, bound, observed``, ``position`` counting from the most vulnerable filter.
    """
    names = list(noise.network.unique())
    figure, axes = panels(names, rows=2, height=1.7, sharey=False)
    for column, name in enumerate(names):
        part = noise[noise.network == name]
        for row, (value, color) in enumerate((("bound", GREY), ("observed", BLUE))):
            axes[row, column].bar(part.position, part[value], color=color, width=0.8)
            axes[row, column].margins(x=0.02)
        axes[1, column].set_xlabel("filter, by l1 norm")
    axes[0, 0].set_ylabel(r"bound  $\|W_m\|_1\,\|r\|_\infty$")
    axes[1, 0].set_ylabel(r"observed  $\|e_m\|_\infty$")
    return figure


def masking(results: pd.DataFrame, layer_column: bool = False) -> Figure:
    """Fig. 3 and S1: top-1 against the fraction of filters whose noise is masked, ranked against the two controls.

    Columns ``network, layer, depth, order, fraction, accuracy, ci_low, ci_high, clean``. With ``layer_column`` one row of panels a depth.
    """
    names, depths = list(results.network.unique()), sorted(results.depth.unique())
    figure, axes = panels(names, rows=len(depths), height=2.0)
    for row, depth in enumerate(depths):
        for column, name in enumerate(names):
            axis, part = axes[row, column], results[(results.network == name) & (results.depth == depth)]
            if part.empty:
                axis.set_axis_off()
                continue
            axis.axhline(part.clean.iloc[0], color="black", linewidth=0.8, linestyle=":", label="clean images")
            for order, (color, marker, label) in ORDER_STYLE.items():
                line = part[part.order == order]
                axis.plot(line.fraction * 100, line.accuracy, color=color, marker=marker, markersize=4, label=label)
                axis.fill_between(line.fraction * 100, line.ci_low, line.ci_high, color=color, alpha=0.15, linewidth=0)
            axis.set(ylim=(0, 1), xticks=[0, 50, 100])
            if layer_column:
                axis.text(0.97, 0.05, part.layer.iloc[0], transform=axis.transAxes, ha="right", fontsize=7)
    for axis in axes[-1]:
        axis.set_xlabel("filters masked (%)")
    for axis in axes[:, 0]:
        axis.set_ylabel("top-1")
    legend_below(figure, axes[0, 0])
    return figure


def walks(samples: pd.DataFrame) -> Figure:
    """What the synthesis makes. Columns ``method, steps, mixed, cosine``: of :func:`regen_lib.synthesis.describe`."""
    style()
    figure, axes = plt.subplots(1, 3, figsize=(8.5, 2.4), layout="constrained")
    labels = {"steps": "steps until the norm exceeds eta", "mixed": "effective members mixed", "cosine": "largest |cosine| with a member"}
    for axis, (value, label) in zip(axes, labels.items(), strict=True):
        for method, color in (("paper", BLUE), ("diverse", ORANGE)):
            data = samples[(samples.method == method)][value].dropna()
            if len(data):
                axis.ecdf(data, linewidth=1.5, color=color, label=method)
        axis.set(xlabel=label, ylim=(0, 1.02))
    axes[0].set_ylabel("fraction of perturbations")
    axes[-1].legend(loc="upper left")
    return figure


def strength(results: pd.DataFrame, target: float) -> Figure:
    """Fooling ratio against xi. Columns ``label, xi, fooling, weakest``."""
    style()
    figure, axis = plt.subplots(figsize=(4.6, 2.8), layout="constrained")
    for (label, part), color, marker in zip(results.groupby("label", sort=False), (ORANGE, GREY), ("o", "D"), strict=False):
        axis.plot(part.xi, part.fooling, color=color, marker=marker, label=f"{label}, mean")
        axis.plot(part.xi, part.weakest, color=color, marker=marker, markersize=3, linestyle=":", label=f"{label}, weakest of the bank")
    axis.axhline(target, color="black", linewidth=0.8, linestyle="--", label=f"the paper's target, {target:g}")
    axis.set(xlabel="xi (pixels of 0-255)", ylabel="fooling ratio", ylim=(0, 1))
    axis.legend(fontsize=7, loc="lower right")
    return figure


def ablation(results: pd.DataFrame) -> Figure:
    """Fig. S2 and the ratio: restoration accuracy against the number of units and the fraction regenerated.

    Columns ``sweep`` (``units`` or ``ratio``), ``value, attack, restoration, ci_low, ci_high``.
    """
    style()
    figure, axes = plt.subplots(1, 2, figsize=(7.5, 2.8), sharey=True, layout="constrained")
    for axis, sweep, label in zip(axes, ("units", "ratio"), ("regeneration units", "fraction of filters regenerated"), strict=True):
        for attack, color, marker in (("test", BLUE, "o"), ("test_l2", ORANGE, "s")):
            part = results[(results.sweep == sweep) & (results.attack == attack)].sort_values("value")
            error = [part.restoration - part.ci_low, part.ci_high - part.restoration]
            axis.errorbar(part.value, part.restoration, error, color=color, marker=marker, capsize=2, label=ATTACK_TITLES[attack])
        axis.set_xlabel(label)
    axes[0].set_ylabel("restoration accuracy")
    axes[0].legend(loc="lower right")
    return figure


def rows_of_attacks(axis: Axes, attacks: Sequence[str], label: str) -> None:
    """Attacks down the side, a ratio along the bottom."""
    axis.set(xlim=(0, 1), xlabel=label, ylim=(len(attacks) - 0.5, -0.5))
    axis.set_yticks(range(len(attacks)), [ATTACK_TITLES.get(attack, attack) for attack in attacks])


def summary(table: pd.DataFrame) -> Figure:
    """The study in one picture: top-1 under each attack, undefended and ours, a panel a network.

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
