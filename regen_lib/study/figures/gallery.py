"""The figure of all perturbations: the banks of a network side by side."""

import math
from collections.abc import Mapping

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from regen_lib.study.figures.pictures import bare, paint, stretched
from regen_lib.study.figures.style import style
from regen_lib.study.titles import ATTACK_TITLES

STACKED = 6  # banks of perturbations in one column
TALLEST = 9.0  # inches, which are 990 pixels on a page


def gallery(banks: Mapping[str, Tensor], count: int = 5, notes: Mapping[str, str] | None = None) -> Figure:
    """The first perturbations of each bank in a row under its title and its note; more than ``STACKED`` banks stand in two columns."""
    style()
    columns = 1 if len(banks) <= STACKED else 2
    lines = math.ceil(len(banks) / columns)
    size = (1.3 * count * columns + 0.3, min(1.4 * lines + 0.4, TALLEST))
    figure, axes = plt.subplots(lines, count * columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.ravel():
        bare(axis)
    for place, (name, v) in enumerate(banks.items()):
        column, line = divmod(place, lines)
        row = axes[line, column * count : (column + 1) * count]
        row[0].set_ylabel("\n".join([ATTACK_TITLES[name], *([notes[name]] if notes else [])]), fontsize=7)
        for axis, image in zip(row, v[:count], strict=False):
            paint(axis, stretched(image))
    figure.supxlabel("each on a scale of its own: middle grey is 0, white its largest value, black the same below 0", fontsize=7)
    return figure
