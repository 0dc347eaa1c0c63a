"""Plots of filters, masking and synthetic perturbations: Fig. 2, 3, S1 and Algorithm 1."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from regen_lib.study.figures.style import BLUE, GREY, ORDER_STYLE, legend_below, panels, style


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
    axes[0, 0].set_ylabel("bound  $\\|W_m\\|_1\\,\\|r\\|_\\infty$\n(units of the output)")
    axes[1, 0].set_ylabel("observed  $\\|e_m\\|_\\infty$\n(units of the output)")
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
    """What the synthesis makes. Columns ``method, steps, mixed, cosine``: of :func:`regen_lib.study.tables.synthesis.describe`."""
    style()
    figure, axes = plt.subplots(1, 3, figsize=(8.5, 2.4), layout="constrained")
    labels = {"steps": "steps until the norm exceeds eta", "mixed": "effective members mixed", "cosine": "largest |cosine| with a member"}
    for axis, (value, label) in zip(axes, labels.items(), strict=True):
        for method, line in (("paper", "-"), ("diverse", "--")):
            data = samples[(samples.method == method)][value].dropna()
            if len(data):
                axis.ecdf(data, linewidth=1.5, color="black", linestyle=line, label=method)
        axis.set(xlabel=label, ylim=(0, 1.02))
    axes[0].set_ylabel("fraction of perturbations")
    axes[-1].legend(loc="upper left")
    return figure
