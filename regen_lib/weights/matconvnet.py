"""Weights as MatConvNet's ``.mat``: VGG-F's original."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.core.extras import need

scipy_io = need("scipy.io", what="reading .mat files", package="scipy", extra="weights")


def read(path: Path, network: nn.Module) -> list[tuple[str, Tensor]]:
    """The arrays in the file's order, which is the network's.

    MatConvNet keeps filters as [height, width, inputs, filters], for RGB input; what is a linear layer here, whose filters are as
    large as its input, is flattened. The old form has ``filters`` and ``biases``, the later one a cell ``weights`` of both.
    """
    try:
        layers = scipy_io.loadmat(path, struct_as_record=False)["layers"]
    except (scipy_io.matlab.MatReadError, ValueError, KeyError, NotImplementedError, OSError, TypeError) as error:
        raise StudyError(f"{path} is truncated or no MatConvNet network: {error}") from error
    linear = {name for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    found: list[tuple[str, Tensor]] = []
    for cell in layers.ravel():
        layer = np.ravel(cell)[0]
        filters, biases = arrays(layer)
        if filters is None or biases is None:
            continue
        name, values = str(np.ravel(layer.name)[0]), torch.from_numpy(np.asarray(filters, np.float32))
        weight = values.reshape([*values.shape, *(1,) * (4 - values.ndim)]).permute(3, 2, 0, 1).contiguous()  # trailing ones are not stored
        found += [(f"{name}.weight", weight.flatten(1) if name in linear else weight)]
        found += [(f"{name}.bias", torch.from_numpy(np.asarray(biases, np.float32)).flatten())]
    if not found:
        raise StudyError(f"{path}: no layer has filters and biases: is it a MatConvNet network?")
    return found


def arrays(layer: Any) -> tuple[Any, Any]:
    """A layer's filters and biases, in either form; nothing where it has none."""
    if hasattr(layer, "filters"):
        return layer.filters, layer.biases
    weights = np.ravel(getattr(layer, "weights", ()))
    return (weights[0], weights[1]) if len(weights) == 2 else (None, None)
