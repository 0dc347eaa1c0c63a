"""Weights from elsewhere: one file a format, found by what a file is called.

A format's file has ``read(path, network) -> list[(name, tensor)]``: the parameters and BatchNorm statistics in the network's order, in
torch's layout, for RGB input. Networks here have the same layers in the same order under other names, so values are placed by
order and shape.
"""

from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.weights._damage import damaged
from regen_lib.weights._names import counts

FORMATS = {".safetensors": "tensors", ".pth": "pickled", ".pt": "pickled", ".caffemodel": "caffe", ".mat": "matconvnet"}
PUBLISHED = "torchvision"
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def load_weights(network: nn.Module, source: str) -> None:
    """Fill ``network`` from a file, or with torchvision's published weights for its family (``source`` = torchvision).

    :class:`StudyError` for an unknown format, a missing or damaged file, or a value that has no place.
    """
    found = import_module("regen_lib.weights.published").read(network) if source == PUBLISHED else read(Path(source), network)
    place(network, found, source)


def read(path: Path, network: nn.Module) -> list[tuple[str, Tensor]]:
    """The arrays of a file, whatever may be in it instead: each format's reader meets bytes that anybody may have made."""
    if path.suffix not in FORMATS:
        raise StudyError(f"{path}: weights come as {', '.join(FORMATS)} files, or as {PUBLISHED}")
    if not path.is_file():
        raise StudyError(f"{path} is missing: download the network's weights and name them in params.yaml")
    reader = import_module(f"regen_lib.weights.{FORMATS[path.suffix]}")
    try:
        found: list[tuple[str, Tensor]] = reader.read(path, network)
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from error
    except Exception as error:  # what scipy, h5py, torch and struct raise for damage is not theirs to list
        raise damaged(path, "weights", error) from error
    return found


def place(network: nn.Module, found: list[tuple[str, Tensor]], source: str) -> None:
    """Put values into the parameters and statistics of ``network``, in order; :class:`StudyError` where number, shape or type differ."""
    wanted = {name: t for name, t in network.state_dict().items() if not name.startswith("normalize.") and counts(name)}
    found = [(name, tensor) for name, tensor in found if counts(name)]
    for (ours, place_), (theirs, tensor) in zip(wanted.items(), found, strict=False):
        if place_.shape != tensor.shape:
            raise StudyError(f"{source}: {theirs} {tuple(tensor.shape)} does not fit {ours} {tuple(place_.shape)}: another network?")
        if tensor.dtype not in FLOATS or tensor.layout is not torch.strided or tensor.is_meta:
            kind = f"{tensor.dtype}, {'on meta' if tensor.is_meta else str(tensor.layout).removeprefix('torch.')}"
            raise StudyError(f"{source}: {theirs} holds {kind}: expected plain floating-point numbers of 16, 32 or 64 bits")
        if overlaps(tensor):
            raise StudyError(f"{source}: numbers of {theirs} lie on each other, as in no file of weights: download it again")
        if not bool(tensor.isfinite().all()):
            raise StudyError(f"{source}: {theirs} holds NaN or infinity: download it again")
    if len(wanted) != len(found):
        raise StudyError(f"{source}: {len(found)} arrays for {len(wanted)} of the network: another network, or other options?")
    for place_, (_, tensor) in zip(wanted.values(), found, strict=True):
        place_.copy_(tensor)


def overlaps(tensor: Tensor) -> bool:
    """Whether places of a tensor share a number: what torch pickles says where they lie, and nothing checks a bit of it."""
    reach = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1 and stride < reach:
            return True
        reach += (size - 1) * stride
    return False


def weights_source(weights: str, raw: Path) -> str:
    """Where a recipe's ``weights`` come from: torchvision, or a file below the folder of raw data."""
    return weights if weights == PUBLISHED else str(raw / weights)
