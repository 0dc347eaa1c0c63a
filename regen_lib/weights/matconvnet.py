"""Weights as MatConvNet's ``.mat``: VGG-F's original. MATLAB's older files and its version 7.3, which is HDF5."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.weights import _matlab
from regen_lib.weights._hdf5 import Hdf5

HDF5 = b"\x89HDF\r\n\x1a\n"
USER_BLOCK = 512  # bytes before the HDF5 file, where MATLAB says what it is
LARGEST = 2**31  # bytes of all arrays: VGG-16 has 1.1 GB as doubles


def read(path: Path, network: nn.Module) -> list[tuple[str, Tensor]]:
    """The arrays in the file's order, which is the network's.

    MatConvNet keeps filters as [height, width, inputs, filters], for RGB input; what is a linear layer here, whose filters are as
    large as its input, is flattened. The old form has ``filters`` and ``biases``, the later one a cell ``weights`` of both.
    """
    linear = {name for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    found: list[tuple[str, Tensor]] = []
    for name, filters, biases in later_layers(path) if is_hdf5(path) else layers(path):
        values = torch.from_numpy(np.asarray(filters, np.float32))
        weight = values.reshape([*values.shape, *(1,) * (4 - values.ndim)]).permute(3, 2, 0, 1).contiguous()  # trailing ones are not stored
        found += [(f"{name}.weight", weight.flatten(1) if name in linear else weight)]
        found += [(f"{name}.bias", torch.from_numpy(np.asarray(biases, np.float32)).flatten())]
    if not found:
        raise StudyError("no layer has filters and biases: is it a MatConvNet network?")
    return found


def is_hdf5(path: Path) -> bool:
    """Whether a ``.mat`` is of version 7.3."""
    with path.open("rb") as file:
        return any(file.seek(place) == place and file.read(len(HDF5)) == HDF5 for place in (0, USER_BLOCK))


def layers(path: Path) -> Iterator[tuple[str, Any, Any]]:
    """Name, filters and biases of each layer that has them."""
    cells = _matlab.load(path)["layers"]
    if cells.dtype != object:
        raise StudyError("layers is no cell array: is it a MatConvNet network?")
    for cell in cells.ravel():
        layer = np.ravel(cell)[0]
        pair = (layer.filters, layer.biases) if hasattr(layer, "filters") else np.ravel(getattr(layer, "weights", ()))
        if len(pair) == 2:
            yield str(np.ravel(layer.name)[0]), pair[0], pair[1]


def later_layers(path: Path) -> Iterator[tuple[str, Any, Any]]:
    """The same of version 7.3: a cell holds references, a text numbers, and every array has its axes the other way round."""
    with Hdf5(path, LARGEST) as file:
        for layer in file.references(file.get(file.file, "layers")):
            keys = file.keys(layer)
            pair = [file.get(layer, key) for key in ("filters", "biases") if key in keys]
            pair = pair or (file.references(file.get(layer, "weights")) if "weights" in keys else [])
            if len(pair) == 2:
                filters, biases = (file.numbers(array).T for array in pair)
                yield "".join(map(chr, file.numbers(file.get(layer, "name")).ravel())), filters, biases
