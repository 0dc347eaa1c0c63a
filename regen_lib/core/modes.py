"""Networks run as they predict, and left as they came."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from regen_lib.core.errors import StudyError
from regen_lib.core.wrappers import bare, is_module


def each_image_alone(network: nn.Module) -> None:
    """:class:`StudyError` where ``network``, in evaluation mode, has batch normalisation that takes its statistics from the batch.

    What such a network gives for an image depends on the images beside it, and a perturbation found in one batch fools no other.
    """
    for name, module in bare(network).named_modules():
        if isinstance(module, _BatchNorm) and module.training:
            raise StudyError(f"batch normalisation {name or 'itself'!r} stays in train mode: let the network's train() and eval() set it")
        if isinstance(module, _BatchNorm) and module.running_mean is None:
            raise StudyError(
                f"batch normalisation {name or 'itself'!r} has no running statistics, so that an image's logits depend on its batch: "
                "train the network with track_running_stats=True, or put GroupNorm in its place"
            )


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Within, ``network`` is in evaluation mode and its weights take no gradients; afterwards every flag is as it was.

    Dropout is off and batch normalisation keeps its statistics, so nothing in the network changes. A network that is in
    evaluation mode and frozen is not touched. :class:`StudyError` for what is no module, and as
    :func:`each_image_alone` says.
    """
    is_module(network)
    modes = [(module, module.training) for module in network.modules()]
    wanting = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if training := any(mode for _, mode in modes):
        network.eval()
    for parameter in wanting:
        parameter.requires_grad_(False)
    try:
        each_image_alone(network)
        yield
    finally:
        if training:
            network.train(modes[0][1])  # for modules that do more than set the flag
            for module, mode in modes:
                module.training = mode
        for parameter in wanting:
            parameter.requires_grad_(True)


@contextmanager
def differentiating() -> Iterator[None]:
    """Within, gradients are kept, also where a caller wants none of its own; :class:`StudyError` in inference mode, which has none."""
    if torch.is_inference_mode_enabled():
        raise StudyError("attacks and training follow gradients: call them outside torch.inference_mode()")
    with torch.enable_grad():
        yield


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
