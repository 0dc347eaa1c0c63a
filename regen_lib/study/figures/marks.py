"""What figures of attacks share: colours that no defence has, and names at the ends of lines instead of a legend."""

from collections.abc import Mapping

import seaborn as sns
from matplotlib.axes import Axes

PURPLE, SKY, AMBER, BROWN = "#CC79A7", "#56B4E9", "#E69F00", "#8B4513"
ATTACK_STYLE = {  # colour, marker and line of each, the same in every figure; a variant has the colour of its kind
    "uap": (PURPLE, "s", "-"),
    "uap_l2": (PURPLE, "D", "--"),
    "spgd": (SKY, "o", "-"),
    "spgd_truth": (SKY, "D", "--"),
    "sga": (AMBER, "^", "-"),
    "gd_uap_data": (BROWN, "D", "-"),
    "deepfool": (BROWN, "v", "-"),
    "random_signs": ("black", "o", "--"),
    "mean_unseen": ("black", "^", "-"),
}
SHADES = sns.light_palette("#A3B4C4", as_cmap=True)  # of heat maps: light enough for black letters everywhere, and no other meaning
GAP = 0.065  # of the axis: two names of 7 points do not touch


def attack_style(attack: object) -> dict[str, str]:
    """What matplotlib draws an attack with; black for one that has no style of its own."""
    color, marker, line = ATTACK_STYLE.get(str(attack), ("black", "x", ":"))
    return {"color": color, "marker": marker, "linestyle": line}


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
