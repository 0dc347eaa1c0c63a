"""Trained defences on disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from regen_lib.core.errors import MismatchError, StudyError
from regen_lib.core.options import check
from regen_lib.core.storage import as_path, check_reads_back, fill, made_for, opened, weights_hash, write_tensors
from regen_lib.defenses import find
from regen_lib.defenses._shared.base import Defended


def save_defense(path: Path | str, defended: Defended) -> None:
    """Write what :func:`regen_lib.defend` made: what is the defence's own, its name, options and the hash of the network that it protects.

    :class:`StudyError` for a module that it did not make, for one that was changed since, by units say, and for weights that are not
    finite: what :func:`load_defense` cannot read is not written.
    """
    if not isinstance(defended, Defended) or defended.made is None:
        raise StudyError(f"{type(defended).__name__} is no defence that defend() made: save_units keeps units, save_network a network")
    name, options = defended.made
    can_be_read_back(defended, name, options)
    tensors = {key: tensor for key, tensor in defended.state_dict().items() if not key.startswith("network.")}
    write_tensors(as_path(path), "defense", tensors, defense=name, options=options, network_hash=weights_hash(defended.network))


def can_be_read_back(defended: Defended, name: str, options: Mapping[str, Any]) -> None:
    """:class:`StudyError` where a defence of that ``name`` and ``options``, built anew, is none that has the tensors of ``defended``."""
    if tuple(defended.network.state_dict()) != defended.around:
        remedy = "keep units with save_units(path, defended, network=the defence as it was, ...), and that with save_defense"
        raise StudyError(f"the network that {name} is built around was changed since, and could not be read back: {remedy}")
    builder = getattr(find(name), name)
    check_reads_back(defended, lambda: builder(defended.network, **options), f"{name} that defend", "make it again")


def load_defense(path: Path | str, network: nn.Module, name: str | None = None) -> Defended:
    """What :func:`save_defense` wrote, built around ``network`` and frozen.

    :class:`StudyError` for a damaged file; where it is sound, and only the network or ``name`` is another, it says so.
    """
    with opened(as_path(path), "defense") as (tensors, metadata):
        found, options = metadata["defense"], metadata["options"]
        module = find(found)
        if name not in (None, found):
            raise MismatchError(f"it holds {found}, not {name}: ask for {found}")
        made_for(f"{found} for other weights of the network", metadata["network_hash"], network)
        check(builder := getattr(module, found), options)
        defended: Defended = builder(network, **options)
        defended.made = (found, options)
        state = {key: tensor for key, tensor in defended.state_dict().items() if key.startswith("network.")}
        fill(defended, {**tensors, **state})
    defended.eval().requires_grad_(False)
    return defended
