"""VGG-16 (Simonyan and Zisserman 2015, configuration D), with or without batch normalisation."""

from collections import OrderedDict

from torch import nn

from regen_lib.core.options import Count, Size, Width
from regen_lib.networks.blocks import Dropout, Normalize, Task, conv_bn_relu, flat_features, fully_connected, scaled

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # (channels, convolutions), a 2x2 pooling after each


def vgg16(
    task: Task, *, width: Width = 1.0, stem: Count = 1, hidden: Size | None = 4096, dropout: Dropout = 0.5, batch_norm: bool = False
) -> nn.Sequential:
    """Build VGG-16: ``[N, C, H, W]`` pixels to ``[N, classes]`` logits.

    ``width`` scales the channels, ``stem`` is conv1_1's stride, ``hidden`` the size of fc6 and fc7
    (None: one linear layer on the features). The defaults are the published network.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(normalize=Normalize(task.mean, task.std))
    inputs, size = task.shape[0], min(task.shape[1:]) // stem
    for block, (channels, convolutions) in enumerate(BLOCKS, start=1):
        outputs = scaled(channels, width)
        for index in range(1, convolutions + 1):
            name, stride = f"conv{block}_{index}", stem if block == index == 1 else 1
            if batch_norm:
                layers.update(conv_bn_relu(name, inputs, outputs, 3, stride))
            else:
                layers[name] = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
                layers[f"relu_{name}"] = nn.ReLU()
            inputs = outputs
        if size > 1:  # a reduced image may have shrunk to one pixel already
            layers[f"pool{block}"] = nn.MaxPool2d(2, 2, ceil_mode=size % 2 == 1)
            size = (size + 1) // 2
    layers["flatten"] = nn.Flatten()
    features = flat_features(layers, task)
    layers.update(fully_connected(features, hidden, task.classes, dropout) if hidden else {"fc8": nn.Linear(features, task.classes)})
    return nn.Sequential(layers)
