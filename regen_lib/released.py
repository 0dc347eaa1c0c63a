"""The authors' released perturbations, and others', as banks: ``python -m regen_lib.released FOLDER --network FILE --images FILE``.

Their repository keeps each attack's files in a folder of its name, and each attack in a layout of its own; its scripts scale and
crop some of them. :data:`LAYOUTS` has what those scripts do.
"""

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from regen_lib.core.errors import StudyError
from regen_lib.core.extras import need
from regen_lib.core.images import load_images
from regen_lib.core.inference import predict
from regen_lib.core.perturbations import Bank, Threat
from regen_lib.evaluation.evaluate import evaluate
from regen_lib.networks import load_network
from regen_lib.regeneration.files import load_units
from regen_lib.weights._damage import damaged

LARGEST = 2**24  # values of an array: those that were released have 200,000
SLACK = 0.02  # of the norm: a released perturbation may be that much smaller than its xi


@dataclass(frozen=True)
class Layout:
    """How an attack's arrays are stored: the order of axes (n: one image), of colours, the factor to pixels, and where 224 are cut out."""

    axes: str
    colours: str
    xi: tuple[float, ...]
    factor: float = 1.0
    norm: float = math.inf
    corner: int = 0


LAYOUTS = {
    "UAP": Layout("CWH", "BGR", (10, 15, 16, 20, 25)),
    "UAP/L_2": Layout("CWH", "BGR", (2000,), norm=2),
    "FFF": Layout("nHWC", "RGB", (10,), corner=1),
    "NAG": Layout("HWC", "RGB", (10,)),
    "SFool": Layout("CHW", "RGB", (10,), corner=1),
    "GAP": Layout("nCHW", "RGB", (16,), factor=16, corner=30),
    "GUAP": Layout("nHWC", "RGB", (15,), factor=1.5),
    "sPGD": Layout("CHW", "RGB", (10,)),
    "precomputed": Layout("WHC", "RGB", (10,)),
}
SIDE = 224


def layout_of(path: Path) -> Layout:
    """The layout of a file, by the folders it is in; :class:`StudyError` where none of them is known."""
    folders = path.parent.parts
    known = [name for name in LAYOUTS if set(name.split("/")) <= set(folders)]
    if not known:
        raise StudyError(f"{path}: in no folder named {', '.join(sorted({name.split('/')[0] for name in LAYOUTS}))}: whose layout is it?")
    return LAYOUTS[max(known, key=len)]


def read_array(path: Path) -> np.ndarray:
    """The array of an ``.h5`` (its key ``v``, or its only one), ``.npy`` or ``.mat`` (key ``r``) file; :class:`StudyError` for others."""
    if not path.is_file():
        raise StudyError(f"{path} is missing, or no file: download it again")
    if path.suffix not in READERS:
        raise StudyError(f"{path}: expected a {', '.join(READERS)} file")
    try:
        return np.asarray(READERS[path.suffix](path), dtype=np.float32)
    except StudyError:
        raise
    except Exception as error:  # what scipy, h5py and NumPy raise for damage is not theirs to list
        raise damaged(path, "a perturbation", error) from error


def read_h5(path: Path) -> np.ndarray:
    """The array ``v`` of an HDF5 file, or its only one."""
    h5py = need("h5py", what="reading .h5 files", package="h5py", extra="weights")
    with h5py.File(path) as file:
        return whole(path, file["v" if "v" in file else next(iter(file))])


def whole(path: Path, array: Any) -> np.ndarray:
    """All of an array that is still on the disk, and may say that it is larger than any."""
    if array.size > LARGEST:
        raise StudyError(f"{path}: {array.size:,} values, a perturbation has at most {LARGEST:,}: download it again")
    return np.array(array[()])


def read_mat(path: Path) -> np.ndarray:
    """The array ``r`` of a MATLAB file; in those of version 7.3 the axes lie the other way round."""
    from regen_lib.weights import _matlab, matconvnet

    if matconvnet.is_hdf5(path):
        h5py = need("h5py", what="reading .mat files of version 7.3", package="h5py", extra="weights")
        with h5py.File(path) as file:
            return whole(path, file["r"]).T
    return np.asarray(_matlab.load(path)["r"])


def read_npy(path: Path) -> np.ndarray:
    """The array of a NumPy file; it is mapped first, as a header may ask for any memory."""
    return whole(path, np.load(path, mmap_mode="r", allow_pickle=False))


READERS = {".h5": read_h5, ".mat": read_mat, ".npy": read_npy}


def read_perturbation(path: Path, layout: Layout | None = None) -> tuple[Tensor, Threat]:
    """A released perturbation as ``[1, 3, 224, 224]``, RGB, in pixels, and its threat.

    :class:`StudyError` where its shape is not the layout's, or its norm none of the layout's.
    """
    layout = layout or layout_of(path)
    array = torch.from_numpy(np.ascontiguousarray(read_array(path))) * layout.factor
    sizes = dict(zip(layout.axes, array.shape, strict=False))
    right = array.ndim == len(layout.axes) and sizes["C"] == 3 and sizes.get("n", 1) == 1
    if not right or min(sizes["H"], sizes["W"]) < SIDE:
        raise StudyError(f"{path}: an array of {tuple(array.shape)}, expected axes {layout.axes} with 3 colours and {SIDE} pixels or more")
    array = array.squeeze(0) if layout.axes[0] == "n" else array
    axes = layout.axes.replace("n", "")
    v = array.permute([axes.index(axis) for axis in "CHW"])
    v = v.flip(0) if layout.colours == "BGR" else v
    start = layout.corner if min(v.shape[1:]) > SIDE else 0
    whole = v[None].contiguous()
    size = float(Threat(layout.norm, 1).size(whole)[0])
    fitting = [xi for xi in layout.xi if xi * (1 - SLACK) <= size <= xi * (1 + 1e-4)]
    if not fitting:
        raise StudyError(f"{path}: norm {size:.4g}, expected {' or '.join(f'{xi:g}' for xi in layout.xi)}: another scale or layout?")
    threat = Threat(layout.norm, fitting[0])
    return threat.project(whole[:, :, start : start + SIDE, start : start + SIDE]).contiguous(), threat


def banks(folder: Path) -> dict[str, Bank]:
    """A bank for each folder with perturbations below ``folder``, those of one threat together, named by the path."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".h5", ".npy", ".mat"))
    if not files:
        raise StudyError(f"{folder} holds no .h5, .npy or .mat file: name the authors' folder of perturbations")
    found: dict[tuple[str, Threat], list[Tensor]] = {}
    for path in files:
        v, threat = read_perturbation(path)
        found.setdefault((str(path.parent.relative_to(folder.parent)), threat), []).append(v)
    return {
        f"{name}, xi {threat.xi:g}": Bank(torch.cat(vs), threat, "released", name, "released", 0, (math.nan,) * len(vs))
        for (name, threat), vs in found.items()
    }


def table(folder: Path, network: Path, images: Path, units: Path | None, count: int | None) -> pd.DataFrame:
    """Every released bank on a network, undefended and with ``units``, on the first ``count`` test images (None: all)."""
    model, test = load_network(network), load_images(images)["test"]
    test = test if count is None else test.first(count)
    if tuple(test.pixels.shape[1:]) != (3, SIDE, SIDE):
        raise StudyError(f"{images}: images of {tuple(test.pixels.shape[1:])}, but released perturbations are for (3, {SIDE}, {SIDE})")
    defended = {"undefended": model} | ({"ours": load_units(units, model)} if units else {})
    clean = {name: predict(each, test.pixels) for name, each in defended.items()}
    return evaluate("released", str(model.family), defended, clean, banks(folder), test, seed=0)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m regen_lib.released", description="Evaluate released perturbations on a network.")
    parser.add_argument("folder", type=Path, help="with folders UAP, FFF, NAG, SFool, GAP, GUAP, sPGD or precomputed, as released")
    parser.add_argument("--network", type=Path, required=True, help="data/networks/<name>.safetensors")
    parser.add_argument("--images", type=Path, default=Path("data/images.safetensors"))
    parser.add_argument("--units", type=Path, help="data/units/<name>/ours.safetensors: the defended network too")
    parser.add_argument("--count", type=int, help="test images (default: all)")
    options = parser.parse_args(arguments)
    try:
        result = table(options.folder, options.network, options.images, options.units, options.count)
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    columns = ["attack", "defense", "xi", "images", "clean_accuracy", "accuracy", "restoration", "ci_low", "ci_high", "fooling_ratio"]
    print(result[columns].to_string(index=False, float_format="%.3f"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
