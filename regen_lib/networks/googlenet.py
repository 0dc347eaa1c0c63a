"""GoogLeNet (Szegedy et al. 2015): inception modules with a true 5x5 branch, with or without batch normalisation."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from regen_lib.networks.blocks import LocalResponseNorm, Normalize, Task, scaled

# name: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, *, batch_norm: bool) -> nn.Sequential:
    """Convolution (``.conv``), batch normalisation where asked for, ReLU."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=not batch_norm))
    if batch_norm:
        layers["bn"] = nn.BatchNorm2d(outputs)
    layers["relu"] = nn.ReLU()
    return nn.Sequential(layers)


class Inception(nn.Module):
    """Four parallel branches, concatenated over channels: ``[N, inputs, H, W]`` to ``[N, outputs, H, W]``."""

    def __init__(self, inputs: int, channels: tuple[int, ...], *, batch_norm: bool) -> None:
        super().__init__()
        one, reduce3, three, reduce5, five, pool = channels
        self.b1x1 = conv(inputs, one, 1, batch_norm=batch_norm)
        self.r3x3 = conv(inputs, reduce3, 1, batch_norm=batch_norm)
        self.b3x3 = conv(reduce3, three, 3, batch_norm=batch_norm)
        self.r5x5 = conv(inputs, reduce5, 1, batch_norm=batch_norm)
        self.b5x5 = conv(reduce5, five, 5, batch_norm=batch_norm)
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.projection = conv(inputs, pool, 1, batch_norm=batch_norm)
        self.outputs = one + three + five + pool

    def forward(self, x: Tensor) -> Tensor:
        branches = self.b1x1(x), self.b3x3(self.r3x3(x)), self.b5x5(self.r5x5(x)), self.projection(self.pool(x))
        return torch.cat(branches, dim=1)


def googlenet(
    task: Task,
    *,
    width: float = 1.0,
    stem: tuple[int, int] = (7, 2),
    modules: tuple[str, ...] = tuple(MODULES),
    dropout: float = 0.4,
    batch_norm: bool = False,
    stem_pool: bool = True,
) -> nn.Sequential:
    """Build GoogLeNet without its auxiliary heads: ``[N, C, H, W]`` pixels to ``[N, classes]`` logits.

    ``width`` scales the channels, ``stem`` is conv1's (kernel, stride), ``stem_pool`` keeps the pooling
    after conv1, ``modules`` lists the inception modules. The defaults are the published network.
    """
    c1, c2 = scaled(64, width), scaled(192, width)
    layers: OrderedDict[str, nn.Module] = OrderedDict(normalize=Normalize(task.mean, task.std))
    layers["conv1"] = conv(task.shape[0], c1, *stem, batch_norm=batch_norm)
    if stem_pool:
        layers["pool1"] = nn.MaxPool2d(3, 2, ceil_mode=True)
    if not batch_norm:
        layers["norm1"] = LocalResponseNorm(c1)
    layers["reduce2"] = conv(c1, c1, 1, batch_norm=batch_norm)
    layers["conv2"] = conv(c1, c2, 3, batch_norm=batch_norm)
    if not batch_norm:
        layers["norm2"] = LocalResponseNorm(c2)
    layers["pool2"] = nn.MaxPool2d(3, 2, ceil_mode=True)
    inputs, stage = c2, "3"
    for name in modules:
        if name[0] != stage:
            layers[f"pool{stage}"], stage = nn.MaxPool2d(3, 2, ceil_mode=True), name[0]
        module = Inception(inputs, tuple(scaled(c, width) for c in MODULES[name]), batch_norm=batch_norm)
        layers[f"inception{name}"], inputs = module, module.outputs
    layers.update(average=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), drop=nn.Dropout(dropout))
    layers["classifier"] = nn.Linear(inputs, task.classes)
    return nn.Sequential(layers)
