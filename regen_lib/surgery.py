"""Replacing modules by name: how masking and regeneration enter a network. No hooks, so compile, export and state_dict work."""

import copy
from collections.abc import Mapping

from torch import nn


def with_replaced(network: nn.Module, replacements: Mapping[str, nn.Module]) -> nn.Module:
    """A copy of ``network`` with the named modules replaced. Weights are shared with the original, not copied."""
    shared = {id(tensor): tensor for tensor in [*network.parameters(), *network.buffers()]}
    result = copy.deepcopy(network, shared)  # the memo keeps shared tensors as they are
    for name, module in replacements.items():
        parent, _, child = name.rpartition(".")
        setattr(result.get_submodule(parent), child, module)
    return result
