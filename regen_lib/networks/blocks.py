"""Layers that several network families share."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn

from regen_lib.core.hooks import hooked
from regen_lib.core.modes import evaluating

Dropout = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True)
class Task:
    """What a network is built for: its input and its classes.

    ``shape`` is ``(C, H, W)``; ``mean`` and ``std`` are per channel, in pixels (0-255).
    """

    shape: tuple[int, int, int]
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Normalize(nn.Module):
    """``(x - mean) / std`` for pixel images ``[N, C, H, W]`` in 0-255: the first layer of every network."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class LocalResponseNorm(nn.Module):
    """``x / (k + alpha/n * sum of x^2 over n neighbouring channels) ** beta`` (Caffe's and torch's definition).

    The sum runs as a banded 1x1 convolution, which keeps ``channels_last`` tensors where they are;
    ``nn.LocalResponseNorm`` pools over a transposed copy.
    """

    band: Tensor

    def __init__(self, channels: int, *, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        index = torch.arange(channels)
        near = (index[:, None] - index[None, :]).abs() <= size // 2
        self.register_buffer("band", near.float().mul(alpha / size)[:, :, None, None], persistent=False)
        self.beta, self.k = beta, k

    def forward(self, x: Tensor) -> Tensor:
        return x * (nn.functional.conv2d(x * x, self.band) + self.k).pow(-self.beta)


def scaled(channels: int, width: float, multiple: int = 4) -> int:
    """``channels * width`` rounded to a multiple, at least one multiple: the channel count of a reduced network."""
    return max(multiple, round(channels * width / multiple) * multiple)


def conv_bn_relu(name: str, inputs: int, outputs: int, kernel: int, stride: int = 1) -> "OrderedDict[str, nn.Module]":
    """Convolution without bias, batch normalisation, ReLU, under the names ``name``, ``bn_name``, ``relu_name``."""
    return OrderedDict(
        {
            name: nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            f"bn_{name}": nn.BatchNorm2d(outputs),
            f"relu_{name}": nn.ReLU(),
        }
    )


def flat_features(layers: "OrderedDict[str, nn.Module]", task: Task) -> int:
    """Number of values that ``layers`` give for one image of ``task``."""
    with torch.no_grad():
        return nn.Sequential(layers).eval()(torch.zeros(1, *task.shape)).numel()


def fully_connected(features: int, hidden: int, classes: int, dropout: float) -> "OrderedDict[str, nn.Module]":
    """The head of CaffeNet, VGG-F and VGG-16: fc6 and fc7 of size ``hidden`` with ReLU and dropout, then fc8."""
    return OrderedDict(
        fc6=nn.Linear(features, hidden),
        relu6=nn.ReLU(),
        drop6=nn.Dropout(dropout),
        fc7=nn.Linear(hidden, hidden),
        relu7=nn.ReLU(),
        drop7=nn.Dropout(dropout),
        fc8=nn.Linear(hidden, classes),
    )


def initialise(network: nn.Module, generator: torch.Generator, *, conv1_scale: float = 1.0) -> nn.Module:
    """He-normal weights and zero biases for every convolution and linear layer, drawn from ``generator``.

    The first convolution's weights are scaled by ``conv1_scale``. From small weights (Caffe fills CaffeNet's from N(0, 0.01)) a
    filter's norm is what training has made of it; from He's, a short training leaves every norm near where it began, and
    ranking filters by norm would rank the initialisation.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for index, layer in enumerate(layers):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        if index == 0:
            layer.weight.data *= conv1_scale
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return network


def multiply_adds(network: nn.Module, task: Task) -> int:
    """Multiply-adds of the convolutions and linear layers for one image of ``task``."""
    total = 0

    def count(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, nn.Conv2d | nn.Linear)
        total += output.numel() * module.weight[0].numel()

    counted = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    with evaluating(network), torch.no_grad(), hooked(module.register_forward_hook(count) for module in counted):
        network(torch.zeros(1, *task.shape))
    return total
