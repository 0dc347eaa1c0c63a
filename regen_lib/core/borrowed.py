"""A network that belongs to somebody else, given back as it came."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def as_it_was(network: nn.Module) -> Iterator[None]:
    """Afterwards every module of ``network`` is in the mode, and every parameter has the ``requires_grad``, that it had before.

    What is built upon a network shares its parameters, and training freezes them.
    """
    modes = [(module, module.training) for module in network.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
