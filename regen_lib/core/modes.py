"""Networks run as they predict, and left as they came."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Within, ``network`` is in evaluation mode and its weights take no gradients; afterwards every flag is as it was.

    Dropout is off and batch normalisation keeps its statistics, so nothing in the network changes. A network that is in
    evaluation mode and frozen is not touched.
    """
    modes = [(module, module.training) for module in network.modules()]
    wanting = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if training := any(mode for _, mode in modes):
        network.eval()
    for parameter in wanting:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        if training:
            network.train(modes[0][1])  # for modules that do more than set the flag
            for module, mode in modes:
                module.training = mode
        for parameter in wanting:
            parameter.requires_grad_(True)


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Within, random numbers may be drawn, torch's own and those of generators that ``network`` keeps; afterwards none has been."""
    own = [value for module in network.modules() for value in vars(module).values() if isinstance(value, torch.Generator)]
    states = [generator.get_state() for generator in own]
    device = torch.get_default_device()
    try:
        with torch.random.fork_rng(devices=[device.index] if device.type == "cuda" else []):
            yield
    finally:
        for generator, state in zip(own, states, strict=True):
            generator.set_state(state)
