"""How perturbations from elsewhere are stored: those that the paper's authors released, attack by attack, and anybody's.

The authors keep each attack's arrays in a folder of its name, each in a layout of its own; their scripts scale and crop some of them,
turn the images to BGR and then add. :data:`LAYOUTS` has what those scripts do.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from regen_lib.core.errors import StudyError

SIDE = 224  # pixels of what is read, in height and in width


@dataclass(frozen=True)
class Layout:
    """How an attack's arrays are stored: the order of axes (n: one image), of colours, and the factor to pixels.

    ``xi``: what the norm may be, in pixels; with none it is what the array's own norm is. Arrays are of 224 x 224 pixels, or of ``side`` x
    ``side``, of which 224 x 224 are cut out from ``corner`` on.
    """

    axes: str
    colours: str
    xi: tuple[float, ...] = ()
    factor: float = 1.0
    norm: float = math.inf
    side: int = SIDE
    corner: int = 0

    def __str__(self) -> str:
        return f"{self.axes}, {self.colours}, times {self.factor:g}"


LAYOUTS = {
    "UAP": Layout("CWH", "BGR", (10, 15, 16, 20, 25)),
    "UAP/L_2": Layout("CWH", "BGR", (2000,), norm=2),
    "FFF": Layout("nHWC", "RGB", (10,), side=227, corner=1),
    "NAG": Layout("HWC", "RGB", (10,)),
    "SFool": Layout("CHW", "BGR", (10,), side=227, corner=1),
    "GAP": Layout("nCHW", "RGB", (16,), factor=16, side=300, corner=30),
    "GUAP": Layout("nHWC", "RGB", (15,), factor=1.5),
    "sPGD": Layout("CHW", "BGR", (10,)),
    "precomputed": Layout("WHC", "RGB", (10,)),
}


def layout_of(path: Path, shape: tuple[int, ...], folders: Sequence[str]) -> tuple[Layout, str]:
    """The layout of a file and why: the authors', by the innermost of the ``folders`` that it is in, or what the array's ``shape`` says.

    :class:`StudyError` where neither says it.
    """
    name = ""
    for folder in folders:
        name = next((known for known in (folder, f"{name}/{folder}") if known in LAYOUTS), name)
    if name:
        return LAYOUTS[name], f"the authors' script for {name}"
    batch = "n" if len(shape) == 4 and shape[0] == 1 else ""
    rest = shape[len(batch) :]
    if len(rest) == 3 and (rest[0] == 3) != (rest[2] == 3):
        axes = "CHW" if rest[0] == 3 else "HWC"
        return Layout(batch + axes, "RGB"), "its shape; RGB and pixels are assumed"
    names = ", ".join(sorted({name.partition("/")[0] for name in LAYOUTS}))
    raise StudyError(
        f"{path}: an array of {shape} in no folder named {names}: give one perturbation a file, [3, 224, 224] or [224, 224, 3]"
    )
