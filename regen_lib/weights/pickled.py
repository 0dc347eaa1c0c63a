"""Weights as torch's own ``.pth`` files, read without running what they might hold."""

from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.weights.tensors import ordered


def read(path: Path, network: nn.Module) -> list[tuple[str, Tensor]]:
    """The state_dict's arrays in the network's order; anything but plain tensors is refused."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError) as error:
        raise StudyError(f"{path} is no state_dict of plain tensors ({error})") from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise StudyError(f"{path} is no state_dict: save network.state_dict()")
    return ordered(found, network, path)
