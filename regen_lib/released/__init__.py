"""Perturbations that others made, as banks: those that the paper's authors released, or any folder of arrays.

``python -m regen_lib.released FOLDER --network FILE`` shows what was read and evaluates it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from regen_lib.core.errors import StudyError
from regen_lib.core.perturbations import Bank, Threat
from regen_lib.released.arrays import READERS, read_array
from regen_lib.released.layouts import SIDE, Layout, layout_of

SLACK = 0.02  # of the norm: a released perturbation may be that much smaller than its xi
ALIKE = 0.999  # cosine from which two perturbations are one


@dataclass(frozen=True)
class Released:
    """A perturbation ``v`` ``[1, 3, 224, 224]``, RGB, in pixels, with its threat, and how it was read and why so."""

    path: Path
    v: Tensor
    threat: Threat
    layout: Layout
    why: str

    def like(self, other: "Released") -> bool:
        """Whether this is ``other`` over again, perhaps rounded or scaled."""
        return float(torch.cosine_similarity(self.v.flatten(1), other.v.flatten(1))[0]) > ALIKE


def read_perturbation(path: Path, layout: Layout | None = None, *, folder: Path | None = None) -> Released:
    """A perturbation from a file, stored as ``layout`` says or as :func:`regen_lib.released.layouts.layout_of` finds.

    Only the names of ``folder`` and of folders below it count for that; by default, of all in ``path``. :class:`StudyError` where its
    shape is not the layout's, its norm none of the layout's, or one that no perturbation in pixels has.
    """
    array = torch.from_numpy(np.ascontiguousarray(read_array(path)))
    above = (folder.absolute().name, *path.parent.relative_to(folder).parts) if folder else path.parent.parts
    layout, why = (layout, "asked for") if layout else layout_of(path, tuple(array.shape), above)
    v = in_order(path, array * layout.factor, layout)
    start = layout.corner if v.shape[2] > SIDE else 0
    cut = v[:, :, start : start + SIDE, start : start + SIDE]
    threat = threat_of(path, v if layout.xi else cut, layout)  # the authors' largest values may lie outside of the cut
    return Released(path, threat.project(cut).contiguous(), threat, layout, why)


def in_order(path: Path, array: Tensor, layout: Layout) -> Tensor:
    """``[1, 3, H, W]``, RGB, from an array stored as ``layout`` says."""
    sizes = dict(zip(layout.axes, array.shape, strict=False))
    right = array.ndim == len(layout.axes) and sizes["C"] == 3 and sizes.get("n", 1) == 1
    if not right or sizes["H"] != sizes["W"] or sizes["H"] not in (SIDE, layout.side):
        pixels = " or ".join(f"{side} x {side}" for side in sorted({SIDE, layout.side}))
        raise StudyError(f"{path}: an array of {tuple(array.shape)}, expected axes {layout.axes} with 3 colours and {pixels} pixels")
    axes = layout.axes.removeprefix("n")
    v = array.reshape(array.shape[-3:]).permute([axes.index(axis) for axis in "CHW"])
    return (v.flip(0) if layout.colours == "BGR" else v)[None].contiguous()


def threat_of(path: Path, v: Tensor, layout: Layout) -> Threat:
    """The threat whose norm ``v`` has."""
    size = float(Threat(layout.norm, 1).size(v)[0])
    if not layout.xi and 1 < size <= 255:
        return Threat(layout.norm, math.ceil(size * (1 - 1e-6)))
    fitting = [xi for xi in layout.xi if xi * (1 - SLACK) <= size <= xi * (1 + 1e-4)]
    if not fitting:
        expected = " or ".join(f"{xi:g}" for xi in layout.xi) or "above 1 and at most 255, in pixels"
        raise StudyError(f"{path}: norm {size:.4g}, expected {expected}: another scale or layout?")
    return Threat(layout.norm, fitting[0])


def read_folder(folder: Path, only: Sequence[str] = ()) -> Iterator[Released]:
    """Every perturbation below ``folder``, whose own name counts as that of an attack, but none above it.

    With ``only``, those whose path holds one of these words. :class:`StudyError` for none.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix in READERS)
    chosen = [path for path in files if not only or any(word in path.relative_to(folder).as_posix() for word in only)]
    if not chosen:
        found = f"{len(files)} files, none with {' or '.join(only)} in its path" if files else f"no {', '.join(READERS)} file"
        raise StudyError(f"{folder} holds {found}: name a folder of perturbations")
    for path in chosen:
        yield read_perturbation(path, folder=folder)


def doubles(perturbations: Sequence[Released]) -> dict[Path, Path]:
    """The files that hold what an earlier one holds, and that one: they are no independent perturbations."""
    found: dict[Path, Path] = {}
    for place, each in enumerate(perturbations):
        first = next((other.path for other in perturbations[:place] if other.path not in found and each.like(other)), None)
        if first is not None:
            found[each.path] = first
    return found


def banks(folder: Path, perturbations: Sequence[Released], again: Mapping[Path, Path]) -> dict[str, Bank]:
    """A bank for each folder of perturbations below ``folder``, those of one threat together, named by the path.

    Those that :func:`doubles` found, ``again``, are left out.
    """
    found: dict[tuple[str, Threat], list[Tensor]] = {}
    for each in perturbations:
        if each.path not in again:
            found.setdefault((each.path.parent.relative_to(folder.parent).as_posix(), each.threat), []).append(each.v)
    return {
        f"{name}, xi {threat.xi:g}": Bank(torch.cat(vs), threat, "released", name, "released", 0, (math.nan,) * len(vs))
        for (name, threat), vs in found.items()
    }
