"""What a bank of perturbations is, and does to images that it was not made from."""

from typing import Any

import torch
from torch import Tensor, nn

from regen_lib.core.images import Images
from regen_lib.core.members import member_fooling, split
from regen_lib.core.perturbations import Bank


def summarise(bank: Bank, network: nn.Module, images: Images, clean: Tensor) -> dict[str, Any]:
    """What a bank is: its norm, and the fooling ratio on its own and on unseen ``images``, each with the weakest member.

    Each member meets an equal share of ``images``, whose predictions without perturbation are ``clean`` ``[N]``.
    """
    parts, before = split(images.pixels, len(bank)), split(clean, len(bank))
    unseen = member_fooling(network, parts, before, bank.perturbations, range(len(bank)))
    return {
        "network": bank.network,
        "attack": bank.attack,
        "count": len(bank),
        "norm": bank.threat.norm,
        "xi": bank.threat.xi,
        "xi_measured": bank.measured,
        "l2": float(bank.perturbations.flatten(1).norm(dim=1).mean()),
        "fooling_own": sum(bank.fooling) / len(bank),
        "fooling_own_min": min(bank.fooling),
        "fooling_unseen": sum(unseen) / len(bank),
        "fooling_unseen_min": min(unseen),
        "cosine_max": bank.largest_cosine(),
        "passes": max(1, len(bank.history)),
    }


def overlap(bank: Bank, training: Bank) -> dict[str, float]:
    """How far a bank is from the one that units were trained on, means over its members.

    ``cosine_train``: the largest absolute cosine with a training perturbation (the paper's test UAPs stay below 0.15), ``span_train``: the
    share of a perturbation's energy, its squared l2 norm, in the span of all training perturbations.
    """
    flat, known = (torch.nn.functional.normalize(each.perturbations.double().flatten(1), dim=1) for each in (bank, training))
    basis, _ = torch.linalg.qr(known.T)
    return {
        "cosine_train": float((flat @ known.T).abs().amax(1).mean()),
        "span_train": float((flat @ basis).square().sum(1).mean()),
    }
