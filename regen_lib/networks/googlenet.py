"""GoogLeNet (Szegedy et al. 2015): inception modules with a true 5x5 branch, with or without batch normalisation."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.core.options import Count, Width
from regen_lib.networks.blocks import Dropout, LocalResponseNorm, Normalize, Task, scaled

# name: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
Module = Literal["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"]
MODULES: dict[Module, tuple[int, int, int, int, int, int]] = {
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


@dataclass(frozen=True)
class Form:
    """What differs between the forms of GoogLeNet: batch normalisation or not, its epsilon, the size of the "5x5" branch."""

    batch_norm: bool
    epsilon: float = 1e-5
    five: int = 5


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, *, form: Form) -> nn.Sequential:
    """Convolution (``.conv``), batch normalisation where the form has it, ReLU."""
    bias = not form.batch_norm
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias))
    if form.batch_norm:
        layers["bn"] = nn.BatchNorm2d(outputs, eps=form.epsilon)
    layers["relu"] = nn.ReLU()
    return nn.Sequential(layers)


class Inception(nn.Module):
    """Four parallel branches, concatenated over channels: ``[N, inputs, H, W]`` to ``[N, outputs, H, W]``."""

    def __init__(self, inputs: int, channels: tuple[int, ...], form: Form) -> None:
        super().__init__()
        one, reduce3, three, reduce5, five, pool = channels
        self.b1x1 = conv(inputs, one, 1, form=form)
        self.r3x3 = conv(inputs, reduce3, 1, form=form)
        self.b3x3 = conv(reduce3, three, 3, form=form)
        self.r5x5 = conv(inputs, reduce5, 1, form=form)
        self.b5x5 = conv(reduce5, five, form.five, form=form)
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.projection = conv(inputs, pool, 1, form=form)
        self.outputs = one + three + five + pool

    def forward(self, x: Tensor) -> Tensor:
        branches = self.b1x1(x), self.b3x3(self.r3x3(x)), self.b5x5(self.r5x5(x)), self.projection(self.pool(x))
        return torch.cat(branches, dim=1)


def googlenet(
    task: Task,
    *,
    width: Width = 1.0,
    stem: tuple[Count, Count] = (7, 2),
    modules: tuple[Module, ...] = tuple(MODULES),
    dropout: Dropout = 0.4,
    batch_norm: bool = False,
    stem_pool: bool = True,
    torchvision: bool = False,
) -> nn.Sequential:
    """Build GoogLeNet without its auxiliary heads: ``[N, C, H, W]`` pixels to ``[N, classes]`` logits.

    ``width`` scales the channels, ``stem`` is conv1's (kernel, stride), ``stem_pool`` keeps the pooling
    after conv1, ``modules`` lists the inception modules. The defaults are the published network; ``torchvision`` is the form
    that torchvision has weights for, with batch normalisation and 3x3 convolutions in the "5x5" branches.
    """
    if twice := [name for name in MODULES if modules.count(name) > 1]:
        raise StudyError(f"modules name {', '.join(twice)} twice: name each once")
    form = Form(True, 1e-3, 3) if torchvision else Form(batch_norm)
    c1, c2 = scaled(64, width), scaled(192, width)
    layers: OrderedDict[str, nn.Module] = OrderedDict(normalize=Normalize(task.mean, task.std))
    layers["conv1"] = conv(task.shape[0], c1, *stem, form=form)
    if stem_pool:
        layers["pool1"] = nn.MaxPool2d(3, 2, ceil_mode=True)
    if not form.batch_norm:
        layers["norm1"] = LocalResponseNorm(c1)
    layers["reduce2"] = conv(c1, c1, 1, form=form)
    layers["conv2"] = conv(c1, c2, 3, form=form)
    if not form.batch_norm:
        layers["norm2"] = LocalResponseNorm(c2)
    layers["pool2"] = nn.MaxPool2d(3, 2, ceil_mode=True)
    inputs, stage = c2, "3"
    for name in modules:
        if name[0] != stage:
            size = 2 if torchvision and stage == "4" else 3
            layers[f"pool{stage}"], stage = nn.MaxPool2d(size, 2, ceil_mode=True), name[0]
        module = Inception(inputs, tuple(scaled(c, width) for c in MODULES[name]), form)
        layers[f"inception{name}"], inputs = module, module.outputs
    layers.update(average=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), drop=nn.Dropout(dropout))
    layers["classifier"] = nn.Linear(inputs, task.classes)
    return nn.Sequential(layers)
