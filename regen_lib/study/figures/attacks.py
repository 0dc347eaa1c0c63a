"""Plots of attacks: how strong, at what cost, against what they excite, and in the white box."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from regen_lib.study import paper
from regen_lib.study.figures.marks import SHADES, attack_style, label_ends
from regen_lib.study.figures.style import DEFENSE_STYLE, GREY, HARDENED, legend_below, panels, rows_of_attacks, style
from regen_lib.study.titles import ATTACK_TITLES, DEFENSE_TITLES, TITLES

CURVE_STYLE = {**DEFENSE_STYLE, "hardened": HARDENED}


def fooling(banks: pd.DataFrame, control: str) -> Figure:
    """Fooling ratio of every bank on unseen images, one panel per network; the line is the control's.

    Columns ``network, bank, fooling_unseen, fooling_unseen_min``; the thin bar reaches down to the weakest member.
    """
    names, order = list(banks.network.unique()), [bank for bank in banks.bank.unique() if bank != control]
    figure, axes = panels(names, height=2.6)
    for axis, name in zip(axes[0], names, strict=True):
        part = banks[banks.network == name].set_index("bank")
        mean, weakest = part.fooling_unseen[order], part.fooling_unseen_min[order]
        error = [mean - weakest, 0 * mean]
        axis.errorbar(mean, range(len(order)), xerr=error, fmt="o", color="black", markersize=4, label="mean of the bank, to its weakest")
        axis.axvline(part.fooling_unseen[control], color="black", linestyle="--", linewidth=1, label=ATTACK_TITLES[control])
        rows_of_attacks(axis, order, "fooling ratio")
    legend_below(figure, axes[0, 0])
    return figure


def margins(table: pd.DataFrame, control: str, largest: float) -> Figure:
    """Fooling ratio above the control's, at the ``largest`` xi and at the best up to it, one row per attack, one column per network.

    Columns ``network, attack, xi, margin``.
    """
    style()
    figure, axes = plt.subplots(1, 2, figsize=(8.5, 0.9 + 0.27 * table.attack.nunique()), sharey=True, layout="constrained")
    parts = (table[table.xi == largest], table.loc[table.groupby(["network", "attack"]).margin.idxmax()])
    titles = (f"at ξ {largest:g}", f"at its best ξ up to {largest:g} (in brackets)")
    order, names = list(table.attack.unique()), list(table.network.unique())
    for axis, part, title in zip(axes, parts, titles, strict=True):
        margin, xi = (part.pivot(index="attack", columns="network", values=value).loc[order, names] for value in ("margin", "xi"))
        text = margin.map("{:+.2f}".format) + ("" if part is parts[0] else xi.map(" ({:g})".format))
        options = {"vmin": 0, "vmax": 0.6, "cmap": SHADES, "cbar": False, "linewidths": 0.5, "annot_kws": {"fontsize": 7, "color": "black"}}
        sns.heatmap(margin, ax=axis, annot=text, fmt="", **options)
        axis.set(title=title, xlabel="", ylabel="")
        axis.set_xticklabels([TITLES[name] for name in names], rotation=0)
        axis.set_yticklabels([ATTACK_TITLES[attack] for attack in order], rotation=0)
    figure.supxlabel(f"fooling ratio above {ATTACK_TITLES[control]} of the same ξ", fontsize=9)
    return figure


def excitation(table: pd.DataFrame, named: Sequence[str]) -> Figure:
    """Fooling ratio against what a perturbation adds to the convolutions' outputs: one panel per network, one point per attack.

    Columns ``network, attack, excitation, fooling``; ``named`` are the attacks to be pointed out.
    """
    figure, axes = panels(list(table.network.unique()))
    for axis, (_, part) in zip(axes[0], table.groupby("network", sort=False), strict=True):
        rest = part[~part.attack.isin(list(named))]
        axis.plot(rest.excitation, rest.fooling, "o", color=GREY, markersize=3, alpha=0.6, label="other attacks")
        for attack in named:
            point, look = part[part.attack == attack], {**attack_style(attack), "linestyle": "none"}
            axis.plot(point.excitation, point.fooling, markersize=6, label=ATTACK_TITLES[attack], **look)
        axis.margins(x=0.1)
        axis.set(ylim=(0, 1), xlabel="log energy gained (nats)")
    axes[0, 0].set_ylabel("fooling ratio")
    legend_below(figure, axes[0, 0])
    return figure


def costs(table: pd.DataFrame) -> Figure:
    """Fooling ratio against the work it took: columns ``network, attack, gradients, fooling``, one row per pass."""
    figure, axes = panels(list(table.network.unique()))
    for axis, (_, part) in zip(axes[0], table.groupby("network", sort=False), strict=True):
        for attack, line in part.groupby("attack", sort=False):
            label = ATTACK_TITLES[str(attack)]
            axis.plot(line.gradients / 1000, line.fooling, markersize=3, label=label, **attack_style(attack))
        axis.set(xlim=(0, None), ylim=(0, 1), xlabel="gradients (thousand images)")
    axes[0, 0].set_ylabel("fooling ratio")
    legend_below(figure, axes[0, 0])
    return figure


def attack_curves(curves: pd.DataFrame) -> Figure:
    """Fig. 6: fooling ratio of a white-box attacker against passes over its images: columns ``defense, passes, fooling``."""
    style()
    figure, axis = plt.subplots(figsize=(5.2, 2.8), layout="constrained")
    hardened = paper.number("fig6", "caffenet", "hardened", "uap")
    ends = {f"the paper's hardened network, {hardened:g}": (hardened, "black")}
    for defense, part in curves.groupby("defense", sort=False):
        color, marker, label = CURVE_STYLE.get(str(defense), ("black", "^", DEFENSE_TITLES[str(defense)]))
        axis.plot(part.passes, part.fooling, color=color, marker=marker, markersize=4, markevery=0.1, label=label)
        ends[label] = (part.fooling.iloc[-1], color)
    axis.axhline(hardened, color="black", linewidth=0.8, linestyle=":")
    axis.set(xlabel="passes over the attacker's images", ylabel="fooling ratio", ylim=(0, 1 if curves.fooling.max() > 0.5 else 0.5))
    label_ends(axis, ends)
    plain_log(axis)
    return figure


def plain_log(axis: Axes) -> None:
    """A logarithmic axis with plain numbers instead of powers of ten."""
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
