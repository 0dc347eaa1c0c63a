"""The defences compared: one file each, found by name.

A defence is ``defense(network, folder) -> nn.Module``: pixel images in, logits out, built on the frozen ``network`` from
whatever its training left in ``folder``.
"""

from importlib import import_module
from pathlib import Path

from torch import nn

from regen_lib.errors import StudyError

DEFENSES = ("undefended", "ours")


def build(name: str, network: nn.Module, folder: Path) -> nn.Module:
    """The defence of that name on ``network``; :class:`StudyError` for an unknown one."""
    if name not in DEFENSES:
        raise StudyError(f"defense {name!r} is unknown: choose one of {', '.join(DEFENSES)}")
    defended: nn.Module = getattr(import_module(f"regen_lib.defenses.{name}"), name)(network, folder)
    return defended
