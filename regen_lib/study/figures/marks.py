"""What figures of attacks share: colours that no defence has, and names at the ends of lines instead of a legend."""

from collections.abc import Mapping

from matplotlib.axes import Axes

PURPLE, SKY, AMBER = "#CC79A7", "#56B4E9", "#E69F00"  # the rest of Okabe and Ito's palette
GAP = 0.065  # of the axis: two names of 7 points do not touch


def label_ends(axis: Axes, ends: Mapping[str, tuple[float, str]]) -> None:
    """Each line's name to the right of the axis, in the line's colour, at the height where the line ends or as near as there is room.

    ``ends``: height and colour by name. The axis has its limits already.
    """
    low, high = axis.get_ylim()
    below = low
    for name, (height, color) in sorted(ends.items(), key=lambda item: item[1][0]):
        below = max(height, below)
        axis.annotate(name, (1.02, below), xycoords=("axes fraction", "data"), color=color, fontsize=7, va="center", annotation_clip=False)
        below += GAP * (high - low)
