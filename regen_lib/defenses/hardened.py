"""Selective feature regeneration after iterative adversarial training (Sec. 5.1)."""

from pathlib import Path

from torch import nn

from regen_lib.regeneration import load_units


def hardened(network: nn.Module, folder: Path) -> nn.Module:
    """The network with its hardened feature regeneration units."""
    return load_units(folder / "hardened.safetensors", network)
