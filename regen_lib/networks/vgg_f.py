"""VGG-F, also CNN-F (Chatfield et al. 2014): LRN before the pooling, no groups."""

from collections import OrderedDict

from torch import nn

from regen_lib.core.options import Count, Natural, Size, Width
from regen_lib.networks.blocks import Dropout, LocalResponseNorm, Normalize, Task, flat_features, fully_connected, scaled


def vgg_f(
    task: Task,
    *,
    width: Width = 1.0,
    stem: tuple[Count, Count] = (11, 4),
    padding: Natural = 0,
    hidden: Size = 4096,
    dropout: Dropout = 0.5,
) -> nn.Sequential:
    """Build VGG-F: ``[N, C, H, W]`` pixels to ``[N, classes]`` logits; parameters as :func:`caffenet`."""
    c1, c2 = scaled(64, width), scaled(256, width)
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        normalize=Normalize(task.mean, task.std),
        conv1=nn.Conv2d(task.shape[0], c1, *stem, padding=padding),
        relu1=nn.ReLU(),
        norm1=LocalResponseNorm(c1, alpha=5e-4, k=2.0),
        pool1=nn.MaxPool2d(3, 2, ceil_mode=True),
        conv2=nn.Conv2d(c1, c2, 5, padding=2),
        relu2=nn.ReLU(),
        norm2=LocalResponseNorm(c2, alpha=5e-4, k=2.0),
        pool2=nn.MaxPool2d(3, 2, ceil_mode=True),
        conv3=nn.Conv2d(c2, c2, 3, padding=1),
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(c2, c2, 3, padding=1),
        relu4=nn.ReLU(),
        conv5=nn.Conv2d(c2, c2, 3, padding=1),
        relu5=nn.ReLU(),
        pool5=nn.MaxPool2d(3, 2, ceil_mode=True),
        flatten=nn.Flatten(),
    )
    layers.update(fully_connected(flat_features(layers, task), hidden, task.classes, dropout))
    return nn.Sequential(layers)
