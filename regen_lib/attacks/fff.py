"""FFF, Fast Feature Fool (Mopuri, Garg, Babu, BMVC 2017): no data; the perturbation alone excites every convolution."""

import torch
from torch import Tensor, nn

from regen_lib.attacks._shared import door
from regen_lib.attacks._shared.excitation import neutral, raise_activations
from regen_lib.core.options import Amount, Count
from regen_lib.core.perturbations import Bank, Threat


@door.attack()
def fff(
    network: nn.Module,
    pixels: Tensor,
    threat: Threat,
    *,
    seed: int,
    count: Count,
    steps: Count = 2000,
    check: Count = 100,
    rate: Amount = 0.01,
    rescale: Count = 300,
) -> Bank:
    """``count`` universal perturbations that minimise ``-sum_l log(mean |activation of convolution l|)``.

    An activation is a convolution's output after its ReLU, where it has one. The network sees the perturbation on the mean
    image, of one colour: that of ``pixels``. Every ``rescale`` steps it is halved, against saturation. Otherwise the
    images only say when to stop.
    """
    mean, _ = neutral(pixels)
    image = mean.expand(1, *pixels.shape[1:])
    return raise_activations(
        "fff",
        network,
        pixels,
        threat,
        seed=seed,
        count=count,
        steps=steps,
        check=check,
        rate=rate,
        inputs=lambda _rng: image,
        objective=mean_absolute,
        halve=lambda step, _k, _v: step % rescale == 0,
    )


def mean_absolute(activations: Tensor) -> Tensor:
    """``mean |a|``: ``[K, n]`` to ``[K]``."""
    return activations.abs().mean(1) + torch.finfo(torch.float32).tiny
