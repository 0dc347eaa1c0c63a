"""Attacks beside each other and beside their control: at other strengths, at equal cost, and by what they excite."""

from collections.abc import Iterable, Sequence

import pandas as pd
import torch
from torch import Tensor

from regen_lib.core.images import as_input
from regen_lib.core.inference import predict
from regen_lib.core.layers import convolutions
from regen_lib.core.members import member_fooling, split
from regen_lib.core.progress import tqdm
from regen_lib.study.tables.suite import Suite

SAMPLE = 1000  # test images that these comparisons take


def strengths(suite: Suite, attacks: Iterable[str], xis: Sequence[float]) -> pd.DataFrame:
    """Every bank scaled to each xi: ``network, attack, xi, fooling`` on test images that no attack has seen."""
    rows = []
    for name in suite.names:
        model, pixels = suite.models[name], suite.images.pixels[:SAMPLE]
        clean = predict(model, pixels)
        for attack in tqdm(list(attacks), desc=f"strengths, {name}", leave=False):
            bank = suite.bank(name, attack)
            parts, before = split(pixels, len(bank)), split(clean, len(bank))
            for xi in xis:
                ratios = member_fooling(model, parts, before, bank.scaled(xi).perturbations, range(len(bank)))
                rows.append({"network": name, "attack": attack, "xi": xi, "fooling": sum(ratios) / len(bank)})
    return pd.DataFrame(rows)


def margins(table: pd.DataFrame, control: str) -> pd.DataFrame:
    """How far each attack of :func:`strengths` is above the control: one more column ``margin``, the control's rows left out."""
    base = table[table.attack == control].set_index(["network", "xi"]).fooling
    rest = table[table.attack != control]
    index = pd.MultiIndex.from_frame(rest[["network", "xi"]])
    return rest.assign(margin=rest.fooling.to_numpy() - base.reindex(index).to_numpy())


def costs(suite: Suite, attacks: Iterable[str]) -> pd.DataFrame:
    """What each attack had reached after how much work: ``network, attack, gradients, fooling``, one row per pass.

    ``gradients`` counts the images of all gradients taken for one perturbation, spread evenly over the passes; ``fooling``
    is on the attack's own images.
    """
    rows = []
    for name in suite.names:
        for attack in attacks:
            bank = suite.bank(name, attack)
            for index, ratio in enumerate(bank.history):
                spent = bank.gradients * (index + 1) / len(bank.history)
                rows.append({"network": name, "attack": attack, "gradients": spent, "fooling": ratio})
    return pd.DataFrame(rows)


def at_equal_cost(table: pd.DataFrame, reference: str) -> pd.DataFrame:
    """From :func:`costs`: the best that each attack had within the work that ``reference`` took in all, one row per network."""
    found = {}
    for name, part in table.groupby("network", sort=False):
        budget = part[part.attack == reference].gradients.max()
        within = part[part.gradients <= budget * 1.001]
        found[name] = within.groupby("attack", sort=False).fooling.max()
    return pd.DataFrame(found).T


def excitations(suite: Suite, attacks: Iterable[str]) -> pd.DataFrame:
    """What GD-UAP raises, beside what it is for: ``network, attack, excitation``.

    ``excitation`` is the mean over convolutions and images of how much the logarithm of an output's squared norm gains by the
    bank's first perturbation.
    """
    rows = []
    for name in suite.names:
        x = as_input(suite.images.pixels[:SAMPLE])
        clean = energies(suite, name, x)
        for attack in attacks:
            perturbed = energies(suite, name, x + suite.bank(name, attack).perturbations[:1])
            gain = (perturbed - clean)[:, clean.isfinite().all(0)]  # an output that is zero everywhere has no logarithm
            rows.append({"network": name, "attack": attack, "excitation": float(gain.mean())})
    return pd.DataFrame(rows)


def energies(suite: Suite, name: str, x: Tensor) -> Tensor:
    """Logarithm of the squared norm of every convolution's output for every image: ``[images, convolutions]``."""
    with torch.no_grad(), convolutions(suite.models[name]) as outputs:
        suite.models[name](x)
        return torch.stack([output.flatten(1).square().sum(1).log() for output in outputs], dim=1)
