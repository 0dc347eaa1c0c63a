"""Trained units on disk."""

from pathlib import Path

import torch
from torch import nn

from regen_lib.core.errors import StudyError
from regen_lib.core.storage import fill, read_tensors, weights_hash, write_tensors
from regen_lib.regeneration.unit import Layers, regenerate, units


def save_units(path: Path | str, defended: nn.Module, *, network: nn.Module, layers: Layers, ratio: float, width: float) -> None:
    """Write a defended network's units: they are all that differs from the frozen ``network``, whose hash goes along."""
    tensors = {f"{layer}|{name}": t for layer, unit in units(defended).items() for name, t in unit.state_dict().items()}
    write_tensors(Path(path), "units", tensors, network_hash=weights_hash(network), layers=layers, ratio=ratio, width=width)


def load_units(path: Path | str, network: nn.Module) -> nn.Module:
    """The defended network: ``network`` with the units of ``path``. :class:`StudyError` for units of other weights."""
    tensors, metadata = read_tensors(path := Path(path), "units")
    if metadata["network_hash"] != weights_hash(network):
        raise StudyError(f"{path}: units trained for other weights: run `dvc repro` to make network and units agree")
    fresh = torch.Generator()
    defended = regenerate(network, metadata["layers"], ratio=metadata["ratio"], width=metadata["width"], generator=fresh)
    for layer, unit in units(defended).items():
        fill(unit, {key.split("|")[1]: t for key, t in tensors.items() if key.split("|")[0] == layer}, path)
    return defended.eval().requires_grad_(False)
