"""Selective feature regeneration: the paper's defence."""

from pathlib import Path

from torch import nn

from regen_lib.regeneration import load_units


def ours(network: nn.Module, folder: Path) -> nn.Module:
    """The network with its trained feature regeneration units."""
    return load_units(folder / "ours.safetensors", network)
