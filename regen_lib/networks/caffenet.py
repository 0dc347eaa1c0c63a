"""CaffeNet (Krizhevsky et al. 2012 as released with Caffe): LRN after the pooling, groups in conv2, 4 and 5."""

from collections import OrderedDict

from torch import nn

from regen_lib.core.options import Count, Natural, Size, Width
from regen_lib.networks.blocks import Dropout, LocalResponseNorm, Normalize, Task, flat_features, fully_connected, scaled


def caffenet(
    task: Task,
    *,
    width: Width = 1.0,
    stem: tuple[Count, Count] = (11, 4),
    padding: Natural = 0,
    hidden: Size = 4096,
    dropout: Dropout = 0.5,
) -> nn.Sequential:
    """Build CaffeNet: ``[N, C, H, W]`` pixels to ``[N, classes]`` logits.

    ``width`` scales the channels, ``stem`` is conv1's (kernel, stride) and ``padding`` its padding,
    ``hidden`` the size of fc6 and fc7. The defaults are the published network.
    """
    c1, c2, c3, c5 = (scaled(c, width, 8) for c in (96, 256, 384, 256))
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        normalize=Normalize(task.mean, task.std),
        conv1=nn.Conv2d(task.shape[0], c1, *stem, padding=padding),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(3, 2, ceil_mode=True),
        norm1=LocalResponseNorm(c1),
        conv2=nn.Conv2d(c1, c2, 5, padding=2, groups=2),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(3, 2, ceil_mode=True),
        norm2=LocalResponseNorm(c2),
        conv3=nn.Conv2d(c2, c3, 3, padding=1),
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(c3, c3, 3, padding=1, groups=2),
        relu4=nn.ReLU(),
        conv5=nn.Conv2d(c3, c5, 3, padding=1, groups=2),
        relu5=nn.ReLU(),
        pool5=nn.MaxPool2d(3, 2, ceil_mode=True),
        flatten=nn.Flatten(),
    )
    layers.update(fully_connected(flat_features(layers, task), hidden, task.classes, dropout))
    return nn.Sequential(layers)
