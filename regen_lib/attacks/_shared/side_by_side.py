"""What attacks share that make all perturbations of a bank side by side."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regen_lib.core.perturbations import Bank, Threat
from regen_lib.core.progress import WHAT, tqdm
from regen_lib.core.storage import weights_hash
from regen_lib.core.wrappers import bare

GAIN = 0.005  # of the mean fooling ratio: less is no gain


class Best:
    """Each member's best perturbation so far: from one pass to the next a fooling ratio rises and falls.

    ``history`` is the mean of the best ratios after each pass. ``patience`` passes in a row in which this gains less than
    ``GAIN`` end an attack (None: only the target does).
    """

    def __init__(self, v: Tensor, target: float, patience: int | None = None) -> None:
        self.v, self.target, self.patience = v.clone(), target, patience
        self.fooling, self.history = [0.0] * len(v), [0.0]

    def look(self, v: Tensor, ratios: Sequence[float], members: Sequence[int]) -> None:
        """Take note of a pass: ``v`` ``[K, C, H, W]``, and the fooling ratio of each of the ``members`` that took part."""
        for k, ratio in zip(members, ratios, strict=True):
            if ratio >= self.fooling[k]:
                self.v[k], self.fooling[k] = v[k], ratio
        self.history.append(sum(self.fooling) / len(self.fooling))

    @property
    def running(self) -> list[int]:
        """The members that have not reached the target fooling ratio."""
        return [k for k, ratio in enumerate(self.fooling) if ratio < self.target]

    @property
    def over(self) -> bool:
        """Whether the attack may end."""
        stale = (
            self.patience is not None and self.patience < len(self.history) and self.history[-1] - self.history[-1 - self.patience] < GAIN
        )
        return stale or not self.running

    def bank(self, attack: str, network: nn.Module, threat: Threat, seed: int) -> Bank:
        """The best of every member."""
        return to_bank(attack, network, threat, self.v, self.fooling, self.history[1:], seed)


def to_bank(
    attack: str, network: nn.Module, threat: Threat, v: Tensor, fooling: Sequence[float], history: Sequence[float], seed: int
) -> Bank:
    """The finished perturbations as a bank."""
    return Bank(v.contiguous(), threat, attack, family(network), weights_hash(network), seed, tuple(fooling), tuple(history))


def family(network: nn.Module) -> str:
    """What banks and bars call a network: its family, or its class."""
    inner = bare(network)
    return str(getattr(inner, "family", type(inner).__name__))


def progress_bar(steps: Iterable[int], attack: str, network: nn.Module) -> Any:
    """A bar over an attack's ``steps``, with the attack's (or its bank's) and the network's name."""
    return tqdm(steps, desc=f"{WHAT.get() or attack}, {family(network)}")


def shuffled(parts: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """A fresh order of every member's images, each from the member's own generator: ``[K, n]``."""
    return torch.stack([torch.randperm(parts.shape[1], generator=generator) for generator in generators])
