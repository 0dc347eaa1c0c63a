"""GD-UAP, the paper's G-UAP (Mopuri, Ganeshan, Babu, PAMI 2018): excite every convolution, with no data, its range, or data."""

from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as F

from regen_lib.attacks._shared import door
from regen_lib.attacks._shared.excitation import neutral, raise_activations
from regen_lib.core.images import as_input
from regen_lib.core.options import Amount, Count
from regen_lib.core.perturbations import Bank, Threat

Prior = Literal["none", "range", "data"]
SATURATED = 0.5  # share of the values at the bound from which a perturbation may be halved ...
STILL = 1e-5  # ... once that share no longer changes
SIDE = 2  # pixels, the least: a blur over 3 x 3 reflects a margin of one


@door.attack(shared=True)
def gd_uap(
    network: nn.Module,
    pixels: Tensor,
    threat: Threat,
    *,
    seed: int,
    count: Count,
    prior: Prior = "data",
    steps: Count = 2000,
    check: Count = 100,
    rate: Amount = 0.01,
    batch: Count = 10,
) -> Bank:
    """``count`` universal perturbations that minimise ``-sum_l log(||activations of convolution l||_2^2 / 2)``.

    An activation is a convolution's output after its ReLU, where it has one. ``prior`` says what carries them: ``none``, the
    mean image, of one colour; ``range``, Gaussian noise of the images' mean and deviation;
    ``data``, ``batch`` of the images, augmented. A saturated perturbation that no longer changes is halved.
    """
    if prior != "none":
        door.large_enough("gd_uap", pixels, SIDE)
    mean, std = neutral(pixels)

    def inputs(rng: torch.Generator) -> Tensor:
        if prior == "none":
            return mean.expand(1, *pixels.shape[1:])
        if prior == "range":
            return augment((mean + std * torch.randn(batch, *pixels.shape[1:], generator=rng)).clamp(0, 255), rng)
        return augment(as_input(pixels, torch.randint(len(pixels), (batch,), generator=rng)), rng)

    return raise_activations(
        "gd_uap",
        network,
        pixels,
        threat,
        seed=seed,
        count=count,
        steps=steps,
        check=check,
        rate=rate,
        inputs=inputs,
        objective=half_square,
        halve=Saturation(threat.xi),
    )


def half_square(activations: Tensor) -> Tensor:
    """``||a||^2 / 2``: ``[K, n]`` to ``[K]``."""
    return activations.square().sum(1) / 2 + torch.finfo(torch.float32).tiny


class Saturation:
    """Whether a perturbation sits at its bound and has stopped changing there; remembers each one's last share."""

    def __init__(self, xi: float) -> None:
        self.xi = xi
        self.last: dict[int, float] = {}

    def __call__(self, _step: int, k: int, v: Tensor) -> bool:
        share = float((v.abs() >= self.xi * 0.999).float().mean())
        before, self.last[k] = self.last.get(k, 0.0), share
        return share > SATURATED and abs(share - before) < STILL


def augment(images: Tensor, rng: torch.Generator) -> Tensor:
    """A batch ``[b, C, H, W]`` mirrored, scaled by 0.75 to 1.5, turned by up to 10 degrees, blurred, each with probability 1/2."""
    mirror, resize, turn, blur = (torch.rand(4, generator=rng) < 0.5).tolist()
    amount = torch.rand(3, generator=rng).tolist()
    images = F.horizontal_flip(images) if mirror else images
    if resize or turn:
        scale = 0.75 + 0.75 * amount[0] if resize else 1.0
        angle = 20 * amount[1] - 10 if turn else 0.0
        images = F.affine(images, angle=angle, translate=[0, 0], scale=scale, shear=[0.0, 0.0])
    return F.gaussian_blur(images, [3, 3], [0.3 + amount[2]] * 2) if blur else images
