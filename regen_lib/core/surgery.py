"""Replacing modules by name: how masking and regeneration enter a network. No hooks, so compile, export and state_dict work."""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from regen_lib.core.errors import StudyError


def with_replaced(network: nn.Module, replacements: Mapping[str, nn.Module]) -> nn.Module:
    """A copy of ``network`` with the named modules replaced. Weights are shared with the original, not copied."""
    shared = {id(tensor): tensor for tensor in [*network.parameters(), *network.buffers()]}
    result = copy.deepcopy(network, shared)  # the memo keeps shared tensors as they are
    for name, module in replacements.items():
        parent, _, child = name.rpartition(".")
        setattr(result.get_submodule(parent), child, module)
    return result


def find_conv(network: nn.Module, layer: str) -> nn.Conv2d:
    """The convolution named ``layer``; :class:`StudyError` where there is none of that name or it is no convolution."""
    convolutions = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    if layer not in convolutions:
        there = dict(network.named_modules()).get(layer)
        found = "is not in the network" if there is None else f"is a {type(there).__name__}, not a convolution"
        raise StudyError(f"layer {layer!r} {found}: choose from {', '.join(convolutions)}")
    return network.get_submodule(layer)  # type: ignore[return-value]


def layer_inputs(network: nn.Module, layers: Sequence[str], x: Tensor) -> dict[str, Tensor]:
    """What each named convolution receives while the network sees ``x``, without gradients."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> torch.utils.hooks.RemovableHandle:
        def store(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen[name] = inputs[0]

        return find_conv(network, name).register_forward_pre_hook(store)

    handles = [keep(name) for name in layers]
    try:
        with torch.no_grad():
            network(x)
    finally:
        for handle in handles:
            handle.remove()
    return seen
