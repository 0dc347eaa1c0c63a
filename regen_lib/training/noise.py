"""Perturbations that images meet in training."""

from dataclasses import dataclass

import torch
from torch import Tensor

from regen_lib.core import options, processes
from regen_lib.core.errors import StudyError
from regen_lib.core.inference import draw


@dataclass(frozen=True)
class Noise:
    """Perturbations ``[K, C, H, W]`` that images meet in training: each image, with ``probability``, one of them."""

    perturbations: Tensor
    probability: float = 0.5
    clip: bool = False

    def __post_init__(self) -> None:
        options.check_given(Noise, {"probability": self.probability, "clip": self.clip})
        if not 0 <= self.probability <= 1:
            raise StudyError(f"probability {self.probability} lies outside [0, 1]: it is the share of images that are perturbed")

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        whole = len(x) * processes.world()
        hit = processes.part(torch.rand(whole, generator=generator) < self.probability)
        which = processes.part(draw(whole, len(self.perturbations), generator))
        x = x + self.perturbations[which] * hit.view(-1, 1, 1, 1)
        return x.clamp_(0, 255) if self.clip else x
