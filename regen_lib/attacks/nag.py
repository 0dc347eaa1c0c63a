"""NAG (Mopuri et al., CVPR 2018): a generator of universal perturbations, as many as are asked for."""

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from regen_lib.attacks._shared import door
from regen_lib.attacks._shared.generators import LatentGenerator, seeded
from regen_lib.attacks._shared.side_by_side import progress_bar, to_bank
from regen_lib.core.images import as_input
from regen_lib.core.layers import last_convolution, ran
from regen_lib.core.members import member_fooling, predictions, split
from regen_lib.core.options import Amount, Count
from regen_lib.core.perturbations import Bank, Threat
from regen_lib.core.progress import finish
from regen_lib.core.seeding import generator


@door.attack(shared=True)
def nag(
    network: nn.Module,
    pixels: Tensor,
    threat: Threat,
    *,
    seed: int,
    count: Count,
    passes: Count = 10,
    batch: Count = 32,
    rate: Amount = 1e-3,
    diversity: Annotated[float, Ge(0)] = 1.0,
) -> Bank:
    """``count`` universal perturbations drawn from one generator that is trained on all of ``pixels``.

    It minimises ``-log(1 - mean q)``, q the probability left to each image's clean class, less ``diversity`` times the mean
    squared difference that other perturbations make in the last convolution's output, over that output's mean square (the
    release's factor of 10 stands for one network's scale). After each pass the mean fooling ratio
    of ``count`` draws is taken; the best pass counts.
    """
    parts, rng = split(pixels, count), generator(seed, "nag")
    clean = predictions(network, parts)
    maker = LatentGenerator((pixels.shape[1], pixels.shape[2], pixels.shape[3]))
    seeded(maker, rng)
    optimizer = torch.optim.Adam(maker.parameters(), lr=rate)
    images, labels = parts.flatten(0, 1), clean.flatten()
    v, fooling, history = torch.zeros(count, *pixels.shape[1:]), [0.0] * count, []
    for _ in (progress := progress_bar(range(passes), "nag", network)):
        for chosen in torch.randperm(len(images), generator=rng).split(batch):
            optimizer.zero_grad()
            made = threat.at_full_norm(maker.sample(len(chosen), rng))
            fool, differ = terms(network, as_input(images, chosen), labels[chosen], made, rng)
            (fool - diversity * differ).backward()
            optimizer.step()
        made = threat.at_full_norm(maker.sample(count, rng).detach())
        ratios = member_fooling(network, parts, clean, made, range(count))
        if sum(ratios) >= sum(fooling):
            v, fooling = made, ratios
        history.append(sum(fooling) / count)
        progress.set_postfix(fooling=f"{history[-1]:.2f}")
        if history[-1] >= threat.target:
            finish(progress)
            break
    return to_bank("nag", network, threat, v, fooling, history, seed)


def terms(network: nn.Module, x: Tensor, labels: Tensor, v: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """NAG's two terms for images ``x`` with a perturbation each: fooling, and how far apart the features of another draw are."""
    with last_convolution(network) as outputs:
        left = network(x + v).softmax(1).gather(1, labels[:, None]).mean()
        features = ran(outputs)[-1]
        network(x + v[torch.randperm(len(v), generator=rng)])
        others = outputs[-1]
    return -torch.log1p(-left.clamp_max(1 - 1e-6)), (features - others).square().mean() / features.detach().square().mean()
