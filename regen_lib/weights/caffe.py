"""Weights as Caffe's ``.caffemodel``, a protocol buffer."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.weights._wire import Wire

# field numbers of caffe.proto: NetParameter's layers in the current and the old form; in these a layer's name and blobs
LAYER, OLD_LAYER = 100, 2
NAME_BLOBS = {LAYER: (1, 7), OLD_LAYER: (4, 6)}
TYPE, SCALE, BATCH_NORM = 2, b"Scale", b"BatchNorm"
BLOB_DATA, BLOB_DOUBLES, BLOB_SHAPE, SHAPE_DIM = 5, 8, 7, 1
OLD_SIZES = (1, 2, 3, 4)  # num, channels, height, width, before blobs had a shape


def blob(wire: Wire, data: memoryview) -> Tensor:
    """An array: packed floats or doubles in a shape of any rank, or of the old four."""
    found = list(wire.fields(data))
    values = [np.frombuffer(bytes(value), "<f4" if number == BLOB_DATA else "<f8") for number, value in found if is_data(number, value)]
    shape = [list(dimensions(wire, value)) for number, value in found if number == BLOB_SHAPE and isinstance(value, memoryview)]
    old = dict(found)
    size = shape[0] if shape else [int(old.get(number, 1)) for number in OLD_SIZES]
    return torch.from_numpy(np.concatenate(values).astype(np.float32)).reshape(size)


def is_data(number: int, value: int | memoryview) -> bool:
    """Whether a field of a blob holds values, packed or one by one."""
    return number in (BLOB_DATA, BLOB_DOUBLES) and isinstance(value, memoryview)


def dimensions(wire: Wire, data: memoryview) -> Iterator[int]:
    """The sizes in a shape, packed or one by one."""
    for number, value in wire.fields(data):
        if number == SHAPE_DIM and isinstance(value, int):
            yield value
        elif number == SHAPE_DIM and isinstance(value, memoryview):
            yield from wire.numbers(value)


def layers(data: memoryview) -> Iterator[tuple[str, bytes, list[Tensor]]]:
    """Name, type and blobs of every layer that has blobs."""
    wire = Wire()
    for number, value in wire.fields(data):
        if number in NAME_BLOBS and isinstance(value, memoryview):
            found = list(wire.fields(value))
            name, blobs = NAME_BLOBS[number]
            text = {key: bytes(v) for key, v in found if isinstance(v, memoryview) and key in (name, TYPE)}
            arrays = [blob(wire, v) for key, v in found if key == blobs and isinstance(v, memoryview)]
            if arrays:
                yield text.get(name, b"?").decode(), text.get(TYPE, b"") if number == LAYER else b"", arrays


def read(path: Path, network: nn.Module) -> list[tuple[str, Tensor]]:  # noqa: ARG001  # Caffe's order is the network's
    """The arrays in the file's order, which is the network's.

    The first convolution's input channels turn from BGR to RGB. A BatchNorm's sums are divided by their count, and the Scale
    layer after it gives its weight and bias; 4-d blobs of linear layers lose their leading ones.
    """
    found = list(layers(memoryview(path.read_bytes())))
    result: list[tuple[str, Tensor]] = []
    for index, (name, kind, arrays) in enumerate(found):
        if kind == BATCH_NORM:
            after = found[index + 1] if index + 1 < len(found) else ("", b"", [])
            if after[1] != SCALE or len(after[2]) != 2:
                raise StudyError(f"the BatchNorm {name} is not followed by a Scale with bias: is it a trained network?")
            mean, variance, count = arrays
            result += [(f"{name}.weight", after[2][0].flatten()), (f"{name}.bias", after[2][1].flatten())]
            result += [(f"{name}.mean", mean.flatten() / count.item()), (f"{name}.variance", variance.flatten() / count.item())]
        elif kind != SCALE:
            weight = arrays[0].squeeze((0, 1)) if arrays[0].shape[:2] == (1, 1) else arrays[0]
            weight = weight.flip(1) if not result and weight.ndim == 4 and weight.shape[1] == 3 else weight
            result += [(f"{name}.weight", weight)] + [(f"{name}.bias", bias.flatten()) for bias in arrays[1:2]]
    if not result:
        raise StudyError("it holds no layers with weights: is it a .caffemodel?")
    return result
