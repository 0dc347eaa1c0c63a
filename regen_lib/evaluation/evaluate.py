"""The one evaluation loop: defences x banks, every cell a row of a tidy table."""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from regen_lib.core import contract
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.inference import draw, predict
from regen_lib.core.metrics import fooling_ratio, proportion_interval, restoration
from regen_lib.core.perturbations import Bank
from regen_lib.core.progress import tqdm
from regen_lib.core.seeding import generator

COLUMNS = (
    *("table", "network", "defense", "attack", "attack_network", "norm", "xi", "clip", "images", "clean_accuracy", "accuracy"),
    *("restoration", "fooling_ratio", "metric", "ci_low", "ci_high", "seed"),
)


def evaluate(
    table: str,
    family: str,
    defended: Mapping[str, nn.Module],
    clean: Mapping[str, Tensor],
    banks: Mapping[str, Bank],
    images: Images,
    *,
    seed: int,
    clip: bool = False,
    metric: str = "restoration",
    means: Mapping[str, Collection[str]] | None = None,
    among: Tensor | None = None,
) -> pd.DataFrame:
    """One row for each defence and bank, in the columns ``COLUMNS``.

    Every image carries one perturbation of the bank, drawn uniformly (the same for all defences), as in the authors'
    release. ``clean`` holds each defence's predictions without perturbation; those of ``undefended`` are the denominator of
    Eq. 9. ``metric`` is what the 95 % interval is of: ``restoration`` or ``accuracy``. ``means`` adds
    one row per defence for each name in it, the average over the banks listed under that name, all of one norm and xi
    (:class:`StudyError` where they differ). ``among``, some of the classes, adds the columns ``clean_among`` and ``among``: the
    share of a network's predictions that are one of these, without and with perturbation.
    """
    together = {name: one_threat(table, {attack: banks[attack] for attack in over}) for name, over in (means or {}).items()}
    truth = images.labels
    contract.images(images.pixels)
    for network in defended.values():
        contract.labels(truth, len(images), contract.network(network, images.pixels))
    rows: list[dict[str, Any]] = []
    for defense, network in tqdm(defended.items(), desc=f"table {table}, {family}", leave=False):
        found = under(network, banks, images.pixels, seed=seed, clip=clip)
        found |= {mean: torch.stack([found[name] for name in over], dim=1) for mean, over in together.items()}
        for name, perturbed in found.items():
            bank = banks[name] if name in banks else next(iter(together[name].values()))
            cell = measure(clean["undefended"] == truth, clean[defense], perturbed, truth, metric)
            cell |= {"table": table, "network": family, "defense": defense, "attack": name, "attack_network": bank.network}
            cell |= {"norm": bank.threat.norm, "xi": bank.threat.xi, "clip": clip, "images": len(images), "seed": seed}
            if among is not None:
                cell |= {"clean_among": share(clean[defense], among), "among": share(perturbed, among)}
            rows.append(cell | {"metric": metric})
    return pd.DataFrame(rows, columns=[*COLUMNS, *(() if among is None else ("clean_among", "among"))])


def one_threat(table: str, banks: Mapping[str, Bank]) -> Mapping[str, Bank]:
    """``banks`` that a mean is taken over; :class:`StudyError` unless all have one norm and xi."""
    if len({(bank.threat.norm, bank.threat.xi) for bank in banks.values()}) > 1:
        raise StudyError(f"table {table}: a mean over {', '.join(banks)}, which differ in norm or xi: average banks of one threat")
    return banks


def under(network: nn.Module, banks: Mapping[str, Bank], pixels: Tensor, *, seed: int, clip: bool) -> dict[str, Tensor]:
    """A network's predictions ``[N]`` under each bank, each image with a perturbation drawn from it."""
    choices = {name: draw(len(pixels), len(bank), generator(seed, "evaluation", name)) for name, bank in banks.items()}
    return {name: predict(network, pixels, bank.perturbations, choices[name], clip=clip) for name, bank in banks.items()}


def share(predicted: Tensor, classes: Tensor) -> float:
    """The share of predictions that are one of ``classes``."""
    return float(torch.isin(predicted, classes.to(predicted.device)).double().mean())


def measure(base_clean: Tensor, clean: Tensor, perturbed: Tensor, truth: Tensor, metric: str) -> dict[str, Any]:
    """The measured part of a row from per-image correctness and predictions, all ``[N]``.

    ``perturbed`` may be ``[N, A]``: the same images under A attacks, whose mean counts for each image.
    """
    perturbed = perturbed.view(len(truth), -1)
    hit = (perturbed == truth[:, None]).double().mean(1)
    ratio, low, high = restoration(base_clean, clean == truth, hit)
    if metric == "accuracy":
        low, high = proportion_interval(float(hit.sum()), len(hit))
    return {
        "clean_accuracy": float((clean == truth).double().mean()),
        "accuracy": float(hit.mean()),
        "restoration": ratio,
        "fooling_ratio": fooling_ratio(clean[:, None], perturbed),
        "ci_low": low,
        "ci_high": high,
    }
