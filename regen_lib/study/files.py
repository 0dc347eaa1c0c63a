"""Where a study's stages leave what they make, below its folder ``data``: each stage a file or a folder of its own.

``banks/<stage>/<network>/<bank>``, ``units/<variant>/<network>`` (``ours``, ``hardened``), ``ablation/<sweep>/<variant>/<network>``,
``networks/<network>``, ``synthetic/<network>``, ``defenses/<defense>/<network>``, ``white_box/<defense>/<network>/<bank>``; all
``.safetensors``.
"""

import re
from pathlib import Path

from regen_lib.core.errors import StudyError
from regen_lib.core.origin import remedy

NAME = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}"  # what can be a part of a path and a pattern as it stands


def bank_file(data: Path, network: str, bank: str) -> Path:
    """The file of a network's bank, whichever stage made it; :class:`StudyError` where none did, or two."""
    return only(data, f"banks/*/{plain(network)}/{plain(bank)}.safetensors")


def units_file(data: Path, network: str, variant: str) -> Path:
    """The file of a network's units, or of a variant of the ablation; :class:`StudyError` where no stage made it, or two."""
    trained = data / "units" / plain(variant) / f"{plain(network)}.safetensors"
    return trained if trained.is_file() else only(data, f"ablation/*/{variant}/{network}.safetensors")


def only(data: Path, pattern: str) -> Path:
    """The one file below ``data`` that matches ``pattern``."""
    found = sorted(data.glob(pattern))
    if len(found) != 1:
        what_to_do = "rename one of them" if found else remedy(data / pattern)
        raise StudyError(f"{data / pattern} is there {len(found)} times: {what_to_do}")
    return found[0]


def plain(name: str) -> str:
    """``name``, where it is a :data:`NAME`; :class:`StudyError` for any other."""
    if not re.fullmatch(NAME, name):
        raise StudyError(f"{name[:64]!r} cannot name a file: use at most 64 letters, digits, _ and -")
    return name
