"""An array of numbers from a file: ``.h5``, ``.npy`` or ``.mat``, of anybody, so nothing in it is believed before it is checked."""

from pathlib import Path
from typing import Any

import numpy as np

from regen_lib.core.errors import StudyError
from regen_lib.weights._damage import damaged
from regen_lib.weights._hdf5 import Hdf5

LARGEST = 2**24  # values of an array: those that were released have 200,000
LARGEST_BYTES = 8 * LARGEST  # as doubles


def read_array(path: Path) -> np.ndarray:
    """The array of an ``.h5`` (its key ``v``, or its only one), ``.npy`` or ``.mat`` (key ``r``) file.

    :class:`StudyError` for other files, and for values of a type in which a perturbation would lose its sign or more.
    """
    if not path.is_file():
        raise StudyError(f"{path} is missing, or no file: download it again")
    if path.suffix not in READERS:
        raise StudyError(f"{path}: expected a {', '.join(READERS)} file")
    try:
        array = np.asarray(READERS[path.suffix](path))
    except StudyError:
        raise
    except Exception as error:  # what scipy, h5py and NumPy raise for damage is not theirs to list
        raise damaged(path, "a perturbation", error) from error
    if array.dtype.kind not in "fi":
        raise StudyError(f"{path}: values of type {array.dtype.name}, expected floats or signed integers: save the perturbation as floats")
    return array.astype(np.float32)


def read_h5(path: Path) -> np.ndarray:
    """The array ``v`` of an HDF5 file, or its only one."""
    with Hdf5(path, LARGEST_BYTES) as file:
        keys = file.keys(file.file)
        return file.numbers(file.get(file.file, "v" if "v" in keys else keys[0]), "fi")


def whole(path: Path, array: Any) -> np.ndarray:
    """All of an array that is still on the disk, and may say that it is larger than any."""
    if array.size > LARGEST:
        raise StudyError(f"{path}: {array.size:,} values, a perturbation has at most {LARGEST:,}: download it again")
    return np.array(array[()])


def read_mat(path: Path) -> np.ndarray:
    """The array ``r`` of a MATLAB file; in those of version 7.3 the axes lie the other way round."""
    from regen_lib.weights import _matlab, matconvnet

    if matconvnet.is_hdf5(path):
        with Hdf5(path, LARGEST_BYTES) as file:
            return file.numbers(file.get(file.file, "r"), "fi").T
    return np.asarray(_matlab.load(path)["r"])


def read_npy(path: Path) -> np.ndarray:
    """The array of a NumPy file; it is mapped first, as a header may ask for any memory."""
    return whole(path, np.load(path, mmap_mode="r", allow_pickle=False))


READERS = {".h5": read_h5, ".mat": read_mat, ".npy": read_npy}
