"""Weights as torch's own ``.pth`` files, read without running what they might hold."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.weights.tensors import ordered


def read(path: Path, network: nn.Module) -> list[tuple[str, Tensor]]:
    """The arrays of a state_dict, plain or under ``state_dict``, in the network's order; anything but plain tensors is refused."""
    check_archive(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:  # torch advises to unpickle it
        raise StudyError("no state_dict of plain tensors: nothing else is read, save network.state_dict()") from error
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not all(isinstance(k, str) and isinstance(value, Tensor) for k, value in found.items()):
        raise StudyError("no state_dict of plain tensors: save network.state_dict()")
    return ordered(found, network)


def check_archive(path: Path) -> None:
    """The checksums of a zip archive, which torch writes and does not look at; :class:`StudyError` where one is wrong."""
    if not zipfile.is_zipfile(path):  # torch's older form
        return
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise StudyError("it is compressed, which torch's files are not: save it anew with torch.save")
        if (damaged := archive.testzip()) is not None:
            raise StudyError(f"it is damaged, the checksum of {damaged} is wrong: download it again")
