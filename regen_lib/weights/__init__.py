"""Weights from elsewhere: one file a format, found by what a file is called.

A format's file has ``read(path, network) -> list[(name, tensor)]``: the parameters and BatchNorm statistics in the network's order, in
torch's layout, for RGB input. Networks here have the same layers in the same order under other names, so values are placed by
order and shape.
"""

from importlib import import_module
from pathlib import Path

from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.weights._names import counts

FORMATS = {".safetensors": "tensors", ".pth": "pickled", ".pt": "pickled", ".caffemodel": "caffe", ".mat": "matconvnet"}
PUBLISHED = "torchvision"


def load_weights(network: nn.Module, source: str) -> None:
    """Fill ``network`` from a file, or with torchvision's published weights for its family (``source`` = torchvision).

    :class:`StudyError` for an unknown format, a missing file, or a value that has no place.
    """
    if source == PUBLISHED:
        found = import_module("regen_lib.weights.published").read(network)
    else:
        path = Path(source)
        if path.suffix not in FORMATS:
            raise StudyError(f"{path}: weights come as {', '.join(FORMATS)} files, or as {PUBLISHED}")
        if not path.is_file():
            raise StudyError(f"{path} is missing: download the network's weights and name them in params.yaml")
        found = import_module(f"regen_lib.weights.{FORMATS[path.suffix]}").read(path, network)
    place(network, found, source)


def place(network: nn.Module, found: list[tuple[str, Tensor]], source: str) -> None:
    """Put values into the parameters and statistics of ``network``, in order; :class:`StudyError` where number or shape differ."""
    wanted = {name: t for name, t in network.state_dict().items() if not name.startswith("normalize.") and counts(name)}
    found = [(name, tensor) for name, tensor in found if counts(name)]
    for (ours, place_), (theirs, tensor) in zip(wanted.items(), found, strict=False):
        if place_.shape != tensor.shape:
            raise StudyError(f"{source}: {theirs} {tuple(tensor.shape)} does not fit {ours} {tuple(place_.shape)}: another network?")
        if not bool(tensor.isfinite().all()):
            raise StudyError(f"{source}: {theirs} holds NaN or infinity")
    if len(wanted) != len(found):
        raise StudyError(f"{source}: {len(found)} arrays for {len(wanted)} of the network: another network, or other options?")
    for place_, (_, tensor) in zip(wanted.values(), found, strict=True):
        place_.copy_(tensor)


def weights_source(weights: str, raw: Path) -> str:
    """Where a recipe's ``weights`` come from: torchvision, or a file below the folder of raw data."""
    return weights if weights == PUBLISHED else str(raw / weights)
