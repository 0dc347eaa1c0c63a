"""Every plot of the study: tidy data in, a matplotlib figure out, saved as PNG and SVG with the same bytes on every rerun."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from regen_lib.paper import TITLES

# Okabe and Ito's palette: told apart with any kind of colour vision
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7F7F7F"
DEFENSE_STYLE = {"undefended": (ORANGE, "s", "undefended"), "ours": (BLUE, "o", "regenerated (ours)")}
ORDER_STYLE = {"ranked": (BLUE, "o", "most vulnerable first"), "random": (GREY, "D", "random"), "reversed": (ORANGE, "s", "least first")}
ATTACK_TITLES = {"test": "UAP", "test_l2": "UAP, l2", "spgd": "sPGD", "random_signs": "random signs", "random_l2": "random, l2"}


def style() -> None:
    """The study's look; called by every figure, so that none depends on what ran before."""
    sns.set_theme(style="ticks", context="paper", font_scale=1.0)
    mpl.rcParams.update({"svg.hashsalt": "regen", "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 110})
    mpl.rcParams.update({"legend.frameon": False, "savefig.bbox": "tight"})


def save(figure: Figure, path: str | Path) -> None:
    """Write ``path`` and its SVG twin, without time stamps."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=150)
    figure.savefig(target.with_suffix(".svg"), metadata={"Date": None})


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


def feature_maps(maps: dict[str, tuple[Tensor, Tensor]], titles: tuple[str, str]) -> Figure:
    """Fig. 5: one filter's activation ``[H, W]`` for each case, before (top) and after regeneration (bottom), one grey scale."""
    style()
    figure, axes = plt.subplots(2, len(maps), figsize=(1.6 * len(maps) + 0.6, 3.4), squeeze=False, layout="constrained")
    everything = np.concatenate([m.numpy().ravel() for pair in maps.values() for m in pair])
    low, high = np.percentile(everything, [1, 99])
    for column, (case, pair) in enumerate(maps.items()):
        for row, image in enumerate(pair):
            axes[row, column].imshow(image.numpy(), cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            axes[row, column].set(xticks=[], yticks=[])
        axes[0, column].set_title(ATTACK_TITLES.get(case, case))
    for axis, title in zip(axes[:, 0], titles, strict=True):
        axis.set_ylabel(title)
    return figure


def perturbations(rows: dict[str, Tensor], count: int = 5) -> Figure:
    """The first perturbations of each bank, a row a bank, each image stretched over its own range."""
    style()
    figure, axes = plt.subplots(len(rows), count, figsize=(1.3 * count, 1.4 * len(rows)), squeeze=False, layout="constrained")
    for axis in axes.ravel():
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for line, (name, v) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(name)
        for axis, image in zip(line, v[:count], strict=False):
            axis.imshow(image[0].numpy(), cmap="gray", interpolation="nearest")
    return figure


def samples(pixels: Tensor, titles: Sequence[str]) -> Figure:
    """A row of images ``[n, C, H, W]`` with a title each."""
    style()
    figure, axes = plt.subplots(1, len(pixels), figsize=(1.0 * len(pixels), 1.4), squeeze=False, layout="constrained")
    for axis, image, title in zip(axes[0], pixels, titles, strict=True):
        axis.imshow(image[0].numpy(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set_title(title, fontsize=7)
        axis.set(xticks=[], yticks=[])
    return figure


def summary(table: pd.DataFrame) -> Figure:
    """The study in one picture: top-1 under each attack, undefended and ours, a panel a network.

    Columns of the evaluation tables; the dotted line is the undefended network on clean images.
    """
    names, attacks = list(table.network.unique()), list(table.attack.unique())
    figure, axes = panels(names, height=2.4)
    for axis, name in zip(axes[0], names, strict=True):
        part = table[table.network == name]
        axis.axhline(
            part[part.defense == "undefended"].clean_accuracy.iloc[0], color="black", linewidth=0.8, linestyle=":", label="clean images"
        )
        for shift, (defense, (color, marker, label)) in zip((-0.12, 0.12), DEFENSE_STYLE.items(), strict=True):
            values = part[part.defense == defense].set_index("attack").accuracy.reindex(attacks)
            axis.plot(np.arange(len(attacks)) + shift, values, color=color, marker=marker, linestyle="none", label=label)
        axis.set(ylim=(0, 1), xlim=(-0.6, len(attacks) - 0.4))
        axis.set_xticks(range(len(attacks)), [ATTACK_TITLES.get(a, a) for a in attacks], rotation=45, ha="right")
    axes[0, 0].set_ylabel("top-1")
    legend_below(figure, axes[0, 0])
    return figure
