"""What attacks share that make all perturbations of a bank side by side, one lane each."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from regen_lib.artifacts import weights_hash
from regen_lib.banks import Bank, Threat
from regen_lib.errors import StudyError
from regen_lib.inference import predict
from regen_lib.metrics import fooling_ratio


def split(pixels: Tensor, count: int) -> Tensor:
    """``pixels`` ``[N, C, H, W]`` as ``count`` disjoint parts of equal size: ``[count, n, C, H, W]``."""
    if count < 1 or len(pixels) < count:
        raise StudyError(f"{count} perturbations from {len(pixels)} images: each needs at least one image of its own")
    each = len(pixels) // count
    return pixels[: count * each].unflatten(0, (count, each))


def predictions(network: nn.Module, parts: Tensor) -> Tensor:
    """The network's clean predictions on every lane's images: ``[K, n, C, H, W]`` to ``[K, n]``."""
    return predict(network, parts.flatten(0, 1)).unflatten(0, parts.shape[:2])


def lane_fooling(network: nn.Module, parts: Tensor, clean: Tensor, v: Tensor, lanes: Sequence[int]) -> list[float]:
    """Fooling ratio of each listed lane's perturbation on that lane's own images."""
    return [fooling_ratio(clean[k], predict(network, parts[k], v[k : k + 1])) for k in lanes]


def to_bank(
    attack: str, network: nn.Module, threat: Threat, v: Tensor, fooling: Sequence[float], history: Sequence[float], seed: int
) -> Bank:
    """The finished lanes as a bank."""
    name = getattr(network, "family", type(network).__name__)
    return Bank(v.contiguous(), threat, attack, name, weights_hash(network), seed, tuple(fooling), tuple(history))


def still_running(fooling: Sequence[float], target: float) -> list[int]:
    """The lanes that have not reached the target fooling ratio."""
    return [k for k, ratio in enumerate(fooling) if ratio < target]


def shuffled(parts: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """A fresh order of every lane's images, each from the lane's own generator: ``[K, n]``."""
    return torch.stack([torch.randperm(parts.shape[1], generator=generator) for generator in generators])
