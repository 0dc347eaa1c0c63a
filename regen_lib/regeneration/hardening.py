"""Secondary attacks (Sec. 5.2.5): attackers who know the units, and the iterative training that answers them."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from regen_lib.attacks import make
from regen_lib.core.images import Images
from regen_lib.core.perturbations import Bank
from regen_lib.regeneration import synthesis
from regen_lib.regeneration.unit import units
from regen_lib.training.loop import fit
from regen_lib.training.noise import Noise
from regen_lib.training.recipe import Recipe


def harden(
    defended: nn.Module,
    bank: Bank,
    splits: Mapping[str, Images],
    attacks: Mapping[str, Mapping[str, Any]],
    recipe: Recipe,
    *,
    rounds: int,
    count: int,
    probability: float,
    old_bank_share: float,
    seed: int,
    name: str,
) -> Iterator[dict[str, float]]:
    """Iterative adversarial training of a defended network's units, in place.

    Every round attacks the network as it is now with each of ``attacks`` (rows as in params.yaml), adds what they make to the
    bank, the old members kept, draws ``count`` synthetic perturbations (Algorithm 1), a share ``old_bank_share`` of them from the members
    that the bank came with, and trains on. Yields after each round the fooling ratio that each attack reached and the training's
    last loss; the network is then as that round left it.
    """
    members = [bank.perturbations]
    for index in range(rounds):
        row: dict[str, float] = {"round": index + 1}
        for attack, spec in attacks.items():
            found = make(defended, splits, spec, seed=seed + 1000 * (index + 1))
            members.append(found.perturbations)
            row[attack] = sum(found.fooling) / len(found)
        mixed = mixture(members, bank, count, old_bank_share, seed=seed, name=f"{name} round {index + 1}")
        noise = Noise(mixed, probability)
        losses = fit(defended, units(defended).values(), splits["train"], recipe, seed=seed, name=f"{name} round {index + 1}", noise=noise)
        yield row | {"members": float(sum(map(len, members))), "loss": losses[-1]}


def mixture(members: list[Tensor], bank: Bank, count: int, old_bank_share: float, *, seed: int, name: str) -> Tensor:
    """Synthetic perturbations ``[count, C, H, W]``: ``old_bank_share`` of them from the first bank, the others from what was added."""
    old = round(count * old_bank_share)
    made = []
    for part, v, share in (("first", members[0], old), ("added", torch.cat(members[1:]), count - old)):
        made.append(synthesis.make("paper", v, bank.threat, share, seed=seed, name=f"{name} {part}", eta_scale=synthesis.ETA_SCALE))
    return torch.cat(made)
