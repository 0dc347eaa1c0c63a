"""Trained units on disk."""

from pathlib import Path

import torch
from torch import Tensor, nn

from regen_lib.core.errors import MismatchError, StudyError
from regen_lib.core.storage import as_path, check_finite, fill, made_for, opened, weights_hash, write_tensors
from regen_lib.core.wrappers import is_module
from regen_lib.regeneration.unit import Layers, Unit, regenerate, units


def save_units(path: Path | str, defended: nn.Module, *, network: nn.Module, layers: Layers, ratio: float, width: float) -> None:
    """Write a defended network's units: they are all that differs from the frozen ``network``, whose hash goes along.

    ``layers``, ``ratio`` and ``width`` are what :func:`regen_lib.regenerate` made them with; :class:`StudyError` where they are not.
    """
    is_module(defended)
    expected = units(regenerate(network, layers, ratio=ratio, width=width, generator=torch.Generator()))
    if described(expected) != described(units(defended)):
        raise StudyError(f"the units are not those of layers {list(layers)}, ratio {ratio:g} and width {width:g}: give what made them")
    tensors = {f"{layer}|{name}": t for layer, unit in units(defended).items() for name, t in unit.state_dict().items()}
    check_finite(tensors)
    write_tensors(as_path(path), "units", tensors, network_hash=weights_hash(network), layers=layers, ratio=ratio, width=width)


def has_layers(network: nn.Module, layers: Layers) -> None:
    """:class:`MismatchError` where a network of the right weights calls its ``layers`` by other names: ``DataParallel`` does."""
    if other := sorted(set(layers) - {name for name, _ in network.named_modules(remove_duplicate=False)}):
        found = f"units on {other[0]}, which the {type(network).__name__} given has not, though its weights are the right ones"
        raise MismatchError(f"{found}: give the network in the wrapper, or without the one, that it was in")


def described(made: dict[str, Unit]) -> dict[str, tuple[list[int], int]]:
    """The filters that each unit regenerates, and its width."""
    return {layer: (unit.channels.tolist(), unit.conv1.out_channels) for layer, unit in made.items()}


def load_units(path: Path | str, network: nn.Module) -> nn.Module:
    """The defended network: ``network`` with the units of ``path``.

    :class:`StudyError` for a damaged file; for units of other weights, or of the network in another wrapper, one that asks for that.
    """
    is_module(network)
    with opened(as_path(path), "units") as (tensors, metadata):
        made_for("units trained for other weights of the network", metadata["network_hash"], network)
        has_layers(network, metadata["layers"])
        shape = {key: metadata[key] for key in ("ratio", "width")}
        defended = regenerate(network, metadata["layers"], **shape, generator=torch.Generator())
        placed = units(defended)
        parts: dict[str, dict[str, Tensor]] = {layer: {} for layer in placed}
        for key, tensor in tensors.items():
            layer, _, name = key.partition("|")
            parts[layer][name] = tensor
        for layer, unit in placed.items():
            fill(unit, parts[layer])
    return defended.eval().requires_grad_(False)
