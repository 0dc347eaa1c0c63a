"""SqueezeNet 1.0 (Iandola et al. 2016): not one of the paper's networks, but small, with ImageNet weights of five megabytes."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from regen_lib.networks.blocks import Dropout, Normalize, Task

# name: squeeze 1x1, expand 1x1 = expand 3x3; a pooling before those of POOLED
FIRES = {"fire2": (16, 64), "fire3": (16, 64), "fire4": (32, 128), "fire5": (32, 128)}
FIRES |= {"fire6": (48, 192), "fire7": (48, 192), "fire8": (64, 256), "fire9": (64, 256)}
POOLED = {"fire2": "pool1", "fire5": "pool4", "fire9": "pool8"}


class Fire(nn.Module):
    """Squeeze by a 1x1 convolution, expand by a 1x1 and a 3x3 beside each other: ``[N, inputs, H, W]`` to ``[N, 2 * expand, H, W]``."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze, self.expand1x1 = nn.Conv2d(inputs, squeeze, 1), nn.Conv2d(squeeze, expand, 1)
        self.expand3x3, self.relu = nn.Conv2d(squeeze, expand, 3, padding=1), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.squeeze(x))
        return torch.cat([self.relu(self.expand1x1(x)), self.relu(self.expand3x3(x))], dim=1)


def squeezenet(task: Task, *, dropout: Dropout = 0.5) -> nn.Sequential:
    """Build SqueezeNet 1.0: ``[N, C, H, W]`` pixels to ``[N, classes]`` logits. The defaults are the published network."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(normalize=Normalize(task.mean, task.std))
    layers.update(conv1=nn.Conv2d(task.shape[0], 96, 7, 2), relu1=nn.ReLU())
    inputs = 96
    for name, (squeeze, expand) in FIRES.items():
        if name in POOLED:
            layers[POOLED[name]] = nn.MaxPool2d(3, 2, ceil_mode=True)
        layers[name], inputs = Fire(inputs, squeeze, expand), 2 * expand
    layers.update(drop9=nn.Dropout(dropout), conv10=nn.Conv2d(inputs, task.classes, 1), relu10=nn.ReLU())
    layers.update(average=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten())
    return nn.Sequential(layers)
