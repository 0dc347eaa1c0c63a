"""GAP (Poursaeed et al., CVPR 2018): a residual generator turns one fixed noise image into a perturbation."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from regen_lib.attacks._shared import door
from regen_lib.attacks._shared.generators import residual_generator, seeded
from regen_lib.attacks._shared.side_by_side import progress_bar, to_bank
from regen_lib.core.images import as_input
from regen_lib.core.members import member_fooling, predictions, split
from regen_lib.core.options import Amount, Count, Natural
from regen_lib.core.perturbations import Bank, Threat
from regen_lib.core.seeding import generator

SIDE = 5  # pixels, the least: at a quarter of the size its generator reflects a margin of one


@door.attack()
def gap(
    network: nn.Module,
    pixels: Tensor,
    threat: Threat,
    *,
    seed: int,
    count: Count,
    passes: Count = 10,
    batch: Count = 64,
    rate: Amount = 2e-4,
    loss: Literal["least", "clean"] = "least",
    towards: Natural | None = None,
) -> Bank:
    """``count`` universal perturbations, each from a generator of its own trained on its own part of ``pixels``.

    What the generator makes of its noise image, at the full norm, minimises a ``loss`` of its paper: ``least``, the log of the
    cross-entropy to the least likely class (the release's), or ``clean``, minus the log of that to the clean class. With a class
    ``towards`` the attack is targeted. The fooling ratio is taken after each pass over the images; the best pass counts.
    """
    door.large_enough("gap", pixels, SIDE)
    parts = split(pixels, count)
    clean = predictions(network, parts)
    objective = partial(generator_loss, network, loss=loss, towards=towards)
    v, runs = torch.zeros(count, *pixels.shape[1:]), []
    for k in (progress := progress_bar(range(count), "gap", network)):
        rng = generator(seed, "gap", k)
        best: list[float] = []
        for made in generated(parts, k, objective, threat, rng, batch=batch, rate=rate):
            (ratio,) = member_fooling(network, parts[k : k + 1], clean[k : k + 1], made, [0])
            if ratio >= max(best, default=0):
                v[k] = made[0]
            best.append(max([ratio, *best]))
            progress.set_postfix(fooling=f"{best[-1]:.2f}")
            if len(best) == passes or best[-1] >= threat.target:
                break
        runs.append(best)
    longest = max(len(best) for best in runs)
    history = [sum(best[min(i, len(best) - 1)] for best in runs) / count for i in range(longest)]
    return to_bank("gap", network, threat, v, [best[-1] for best in runs], history, seed)


def generated(
    parts: Tensor, k: int, objective: Callable[[Tensor, Tensor], Tensor], threat: Threat, rng: torch.Generator, *, batch: int, rate: float
) -> Iterator[Tensor]:
    """What a generator makes of its noise image, ``[1, C, H, W]`` at full norm, after each pass over the ``k``-th part of the images."""
    noise = torch.rand(1, *parts.shape[2:], generator=rng)
    maker = residual_generator((noise.shape[1], noise.shape[2], noise.shape[3]))
    seeded(maker, rng)
    optimizer = torch.optim.Adam(maker.parameters(), lr=rate, betas=(0.5, 0.999))
    while True:
        for chosen in torch.randperm(parts.shape[1], generator=rng).split(batch):
            optimizer.zero_grad()
            objective(as_input(parts, k, chosen), threat.at_full_norm(maker(noise))).backward()
            optimizer.step()
        with torch.no_grad():
            made = threat.at_full_norm(maker(noise))
        yield made


def generator_loss(network: nn.Module, x: Tensor, v: Tensor, loss: str, towards: int | None) -> Tensor:
    """What a generator minimises: ``log`` of the mean cross-entropy to a goal, or minus that to the class without ``v``."""
    with torch.no_grad():
        clean = network(x)
    if towards is not None:
        goal, sign = torch.full((len(x),), towards), 1
    else:
        goal, sign = (clean.argmin(1), 1) if loss == "least" else (clean.argmax(1), -1)
    return sign * nn.functional.cross_entropy(network(x + v), goal).log()
