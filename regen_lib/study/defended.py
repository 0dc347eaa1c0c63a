"""A network of the study with one of its defences, from what the stages left below ``data``."""

from pathlib import Path

from torch import nn

from regen_lib.defenses import UNITS
from regen_lib.defenses._shared.files import load_defense
from regen_lib.regeneration.files import load_units


def load_defended(data: Path, name: str, defense: str, network: nn.Module) -> nn.Module:
    """``network``, which the study calls ``name``, with ``defense``: one of :data:`regen_lib.defenses.DEFENSES`."""
    if defense == "undefended":
        return network
    if defense in UNITS:
        return load_units(data / "units" / defense / f"{name}.safetensors", network)
    return load_defense(data / "defenses" / defense / f"{name}.safetensors", network, defense)
