"""ResNet-152, pre-activation (He et al. 2016, "v2"): the form the authors defend; and the first form, for torchvision's weights."""

from collections import OrderedDict
from typing import Annotated

from annotated_types import Ge, Le
from torch import Tensor, nn

from regen_lib.core.options import Count, Width
from regen_lib.networks.blocks import Normalize, Task, scaled

EXPANSION = 4
Depth = Annotated[int, Ge(1), Le(100)]  # blocks of a stage: ResNet-152 has up to 36, and each takes time to build


class Bottleneck(nn.Module):
    """``x + conv3(f(conv2(f(conv1(f(x))))))`` with ``f`` = BN and ReLU: ``[N, inputs, H, W]`` to ``[N, 4 * channels, H', W']``.

    ``conv2``, the 3x3 convolution, is where the authors place their units.
    """

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        outputs = EXPANSION * channels
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, channels, 1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(channels), nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn3, self.conv3 = nn.BatchNorm2d(channels), nn.Conv2d(channels, outputs, 1, bias=False)
        self.relu = nn.ReLU()
        reshapes = stride != 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if reshapes else None

    def forward(self, x: Tensor) -> Tensor:
        pre = self.relu(self.bn1(x))
        skip = x if self.shortcut is None else self.shortcut(pre)
        out = self.conv2(self.relu(self.bn2(self.conv1(pre))))
        return skip + self.conv3(self.relu(self.bn3(out)))


class PostBottleneck(nn.Module):
    """``relu(x + g(conv3(f(g(conv2(f(g(conv1(x)))))))))`` with ``g`` = BN and ``f`` = ReLU; the shortcut has its own ``g``.

    Stride in ``conv2``, as in torchvision.
    """

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        outputs = EXPANSION * channels
        self.conv1, self.bn1 = nn.Conv2d(inputs, channels, 1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels)
        self.conv3, self.bn3 = nn.Conv2d(channels, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.relu, self.shortcut = nn.ReLU(), nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        total: Tensor = self.relu(self.shortcut(x) + self.bn3(self.conv3(out)))
        return total


def resnet152(
    task: Task,
    *,
    width: Width = 1.0,
    stem: tuple[Count, Count] = (7, 2),
    stem_pool: bool = True,
    depths: tuple[Depth, Depth, Depth, Depth] = (3, 8, 36, 3),
    pre_activation: bool = True,
) -> nn.Sequential:
    """Build ResNet-152: ``[N, C, H, W]`` pixels to ``[N, classes]`` logits.

    ``width`` scales the channels, ``stem`` is conv1's (kernel, stride), ``stem_pool`` keeps the pooling after
    conv1, ``depths`` counts the bottlenecks of each stage. Bottlenecks are named ``block1``, ``block2``, ... through
    the stages. Without ``pre_activation`` it is the form of 2015, which torchvision has weights for. The defaults are the network
    that the authors defend.
    """
    inputs = scaled(64, width)
    layers: OrderedDict[str, nn.Module] = OrderedDict(normalize=Normalize(task.mean, task.std))
    layers["conv1"] = nn.Conv2d(task.shape[0], inputs, *stem, padding=stem[0] // 2, bias=False)
    if stem_pool:
        layers["bn1"], layers["relu1"] = nn.BatchNorm2d(inputs), nn.ReLU()
        layers["pool1"] = nn.MaxPool2d(3, 2, 1)
    number, block = 0, Bottleneck if pre_activation else PostBottleneck
    for stage, depth in enumerate(depths):
        channels = scaled(64 * 2**stage, width)
        for index in range(depth):
            number += 1
            layers[f"block{number}"] = block(inputs, channels, 2 if index == 0 and stage > 0 else 1)
            inputs = EXPANSION * channels
    if pre_activation:
        layers.update(bn_last=nn.BatchNorm2d(inputs), relu_last=nn.ReLU())
    layers.update(average=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), classifier=nn.Linear(inputs, task.classes))
    return nn.Sequential(layers)
