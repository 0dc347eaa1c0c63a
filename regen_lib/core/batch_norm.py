"""Batch normalisation over the images of several processes."""

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from regen_lib.core.processes import world


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the images of all processes while training (torch's own ``SyncBatchNorm`` wants a GPU)."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or world() == 1:
            return super().forward(x)
        count = x.numel() // x.shape[1] * world()
        mean = all_reduce(x.sum((0, 2, 3))) / count
        centred = x - mean.view(1, -1, 1, 1)
        variance = all_reduce(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            for running, found in ((self.running_mean, mean), (self.running_var, variance * (count / (count - 1)))):
                assert running is not None
                running.lerp_(found, self.momentum or 0.1)
            assert self.num_batches_tracked is not None
            self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
