"""What may stand around a network without changing it: ``DataParallel`` and ``torch.compile``."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from regen_lib.core.errors import MismatchError


def is_module(network: object) -> None:
    """:class:`StudyError` for what is no network at all."""
    if not isinstance(network, nn.Module):
        raise MismatchError(f"the network is a {type(network).__name__}: give a torch.nn.Module")


def bare(network: nn.Module) -> nn.Module:
    """The network inside ``DataParallel`` and ``torch.compile``: the one whose names the weights go by."""
    while True:
        if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
            network = network.module
        elif isinstance(inner := getattr(network, "_orig_mod", None), nn.Module):
            network = inner
        else:
            return network


def eager(network: nn.Module) -> AbstractContextManager[object]:
    """Within, compiled parts of ``network`` run as Python: hooks set after the compilation would not be called in them."""
    compiled = any(hasattr(m, "_orig_mod") or getattr(m, "_compiled_call_impl", None) for m in network.modules())
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()
