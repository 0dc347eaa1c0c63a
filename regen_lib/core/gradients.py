"""What an attack costs on any machine: the gradients that it takes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from regen_lib.core.errors import StudyError


@contextmanager
def gradients_counted(network: nn.Module) -> Iterator[list[int]]:
    """What an attack costs on any machine: the list fills with the images of each gradient taken within.

    Counted where a gradient arrives at the network's input. Products with a Jacobian (:func:`torch.func.vjp`) are none.
    """
    if isinstance(network, torch.jit.ScriptModule):
        raise StudyError("the network is a TorchScript module, which takes no hooks: give nn.Sequential(network)")
    seen: list[int] = []

    def watch(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].requires_grad and not torch._C._functorch.is_functorch_wrapped_tensor(inputs[0]):
            inputs[0].register_hook(lambda gradient: seen.append(len(gradient)))

    with network.register_forward_pre_hook(watch):
        yield seen
