"""The study's look, and how a figure is saved: PNG and SVG with the same bytes on every rerun."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regen_lib.core.storage import write_bytes
from regen_lib.study.titles import ATTACK_TITLES, DEFENSE_TITLES, TITLES

# Okabe and Ito's palette: told apart with any kind of colour vision
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7F7F7F"
DEFENSE_STYLE = {"undefended": (ORANGE, "s", DEFENSE_TITLES["undefended"]), "ours": (BLUE, "o", DEFENSE_TITLES["ours"])}
HARDENED = (GREEN, "D", DEFENSE_TITLES["hardened"])
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
        axis.set_title(TITLES[name])
    return figure, axes


def legend_below(figure: Figure, axis: Axes) -> None:
    """One legend for all panels, under them."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))


def rows_of_attacks(axis: Axes, attacks: Sequence[str], label: str) -> None:
    """Attacks down the side, a ratio along the bottom."""
    axis.set(xlim=(0, 1), xlabel=label, ylim=(len(attacks) - 0.5, -0.5))
    axis.set_yticks(range(len(attacks)), [ATTACK_TITLES[attack] for attack in attacks])
