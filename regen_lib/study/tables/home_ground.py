"""All defences beside each other: what they cost, and whether each does on its home ground what it promises."""

import pandas as pd
import torch
from torch import Tensor

from regen_lib.core.images import as_input
from regen_lib.core.inference import draw, predict
from regen_lib.core.metrics import proportion_interval
from regen_lib.core.seeding import generator
from regen_lib.defenses._shared.retraining import perturbation
from regen_lib.defenses.prn_det import DetectingPRN
from regen_lib.study.tables.suite import Suite

PGD_STEPS, PGD_IMAGES = 10, 500
DRAWS = 5  # of a random defence
TIMED, REPEATS = 500, 5  # images, and how often


def home_ground(suite: Suite, *, epsilon: float, targeted: str, towards: int) -> pd.DataFrame:
    """What each kind of defence was made for: ``network, defense, measure, value, ci_low, ci_high, images``, the undefended beside it.

    ``PGD top-1`` (adversarial training, Feature Denoising): under ``PGD_STEPS`` of white-box PGD within ``epsilon``, image by
    image. ``targeted success`` (Democratic Training): images that the bank ``targeted`` turns into class ``towards``.
    ``found``, ``false alarms``: images under UAPs, and clean ones, that PRN's detector calls perturbed. ``lowest draw``,
    ``highest draw``: top-1 under UAPs behind Pixel Deflection, the extremes of ``DRAWS`` passes, which differ by chance alone.
    """
    rows = []
    for name in suite.names:
        for defense in present(suite, name, "undefended", "adversarial_training", "feature_denoising"):
            hits = pgd_hits(suite, name, defense, epsilon)
            rows.append(share_row(name, defense, "PGD top-1", hits))
        others = suite.images.labels != towards
        for defense in present(suite, name, "undefended", "ours", "democratic_training"):
            is_target = (
                predict(suite.defended[name][defense], suite.images.pixels, *perturbations_and_choice(suite, name, targeted)) == towards
            )
            rows.append(share_row(name, defense, "targeted success", is_target[others]))
        for defense in present(suite, name, "pixel_deflection"):
            network, uaps = suite.defended[name][defense], perturbations_and_choice(suite, name, "uap")
            passes = [predict(network, suite.images.pixels, *uaps) == suite.images.labels for _ in range(DRAWS)]
            passes.sort(key=lambda hits: int(hits.sum()))
            rows += [share_row(name, defense, "lowest draw", passes[0]), share_row(name, defense, "highest draw", passes[-1])]
        for defense in present(suite, name, "prn_det"):
            network = suite.defended[name][defense]
            assert isinstance(network, DetectingPRN)
            v, choice = perturbations_and_choice(suite, name, "uap")
            x = as_input(suite.images.pixels)
            for measure, batch in (("found", x + v[choice]), ("false alarms", x)):
                rows.append(share_row(name, defense, measure, torch.cat([network.perturbed(part) for part in batch.split(250)])))
    return pd.DataFrame(rows)


def perturbations_and_choice(suite: Suite, name: str, attack: str) -> tuple[Tensor, Tensor]:
    """A bank's perturbations ``[K, C, H, W]``, and which of them each test image carries, as in the tables: ``[N]``."""
    bank = suite.bank(name, attack)
    return bank.perturbations, draw(len(suite.images), len(bank), generator(suite.seed, "evaluation", attack))


def present(suite: Suite, network: str, *defenses: str) -> list[str]:
    """Those of ``defenses`` that the suite has for a network."""
    return [defense for defense in defenses if defense in suite.defenses[network]]


def share_row(network: str, defense: str, measure: str, hits: Tensor) -> dict[str, str | float]:
    """One measured share with its 95 % interval."""
    low, high = proportion_interval(float(hits.sum()), len(hits))
    share = float(hits.double().mean())
    return {"network": network, "defense": defense, "measure": measure, "value": share, "ci_low": low, "ci_high": high, "images": len(hits)}


def pgd_hits(suite: Suite, name: str, defense: str, epsilon: float) -> Tensor:
    """Which of the first test images are still classified rightly under white-box PGD: ``[PGD_IMAGES]``."""
    network = suite.defended[name][defense]
    images = suite.images.first(min(PGD_IMAGES, len(suite.images)))
    x, y, rng = as_input(images.pixels), images.labels, generator(suite.seed, "pgd", name)
    hits = []
    for start in range(0, len(x), 125):
        part, labels = x[start : start + 125], y[start : start + 125]
        v = perturbation(network, part, labels, rng, epsilon=epsilon, steps=PGD_STEPS)
        with torch.no_grad():
            hits.append(network(part + v).argmax(1) == labels)
    return torch.cat(hits)
