"""What data-free attacks look at: what a network's convolutions give after their activation functions, and how to raise it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from regen_lib.attacks._shared.activations import activations
from regen_lib.attacks._shared.side_by_side import Best, progress_bar
from regen_lib.core.devices import memory_format
from regen_lib.core.layers import ran
from regen_lib.core.members import member_fooling, predictions, split
from regen_lib.core.perturbations import Bank, Threat
from regen_lib.core.progress import finish
from regen_lib.core.seeding import generator

PATIENCE = 5  # checks without gain before a search ends
CHUNK = 1000  # images at a time


def excitation(outputs: list[Tensor], objective: Callable[[Tensor], Tensor], count: int) -> Tensor:
    """``sum_l log objective(a_l)`` for each of ``count`` perturbations, from layers' outputs ``[count * b, ...]``: ``[count]``."""
    layers = [objective(output.reshape(count, -1)) for output in outputs]
    return torch.stack(layers).log().sum(0)


def neutral(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation ``[1, C, 1, 1]`` of the images ``[N, C, H, W]``, in pixels: an image that carries nothing."""
    count, total, squares = 0, 0.0, 0.0
    for chunk in pixels.split(CHUNK):
        values = chunk.to(torch.float64)
        count += values.numel() // values.shape[1]
        total, squares = total + values.sum((0, 2, 3)), squares + values.square().sum((0, 2, 3))
    mean = torch.as_tensor(total) / count
    std = (torch.as_tensor(squares) / count - mean**2).clamp_min(0).sqrt()
    device = torch.get_default_device()
    return mean.float().view(1, -1, 1, 1).to(device), std.float().view(1, -1, 1, 1).to(device)


def raise_activations(
    attack: str,
    network: nn.Module,
    pixels: Tensor,
    threat: Threat,
    *,
    seed: int,
    count: int,
    steps: int,
    check: int,
    rate: float,
    inputs: Callable[[torch.Generator], Tensor],
    objective: Callable[[Tensor], Tensor],
    halve: Callable[[int, int, Tensor], bool],
) -> Bank:
    """Maximise ``sum_l log objective(activations of convolution l)`` by Adam over ``count`` perturbations at once.

    ``inputs`` gives the images ``[b, C, H, W]`` that carry the perturbations in a step (each all of them), ``objective``
    maps a layer's output ``[count, b * ...]`` to ``[count]``, and ``halve(step, k, v[k])`` says whether to halve a
    perturbation: a saturated one no longer moves. ``pixels`` serve only to choose the step: every ``check`` steps, and at
    the end, the fooling ratio on them, at full norm, is taken; the best counts.
    """
    parts = split(pixels, count)
    clean = predictions(network, parts)
    rng = generator(seed, attack)
    v = (torch.rand(count, *pixels.shape[1:], generator=rng) * 2 - 1).mul_(threat.xi).requires_grad_()
    optimizer = torch.optim.Adam([v], lr=rate * threat.xi)
    best = Best(threat.at_full_norm(v.detach()), threat.target, PATIENCE)
    with activations(network) as outputs:
        for step in (progress := progress_bar(range(1, steps + 1), attack, network)):
            x = (inputs(rng)[None] + threat.project(v)[:, None]).flatten(0, 1)
            network(x.contiguous(memory_format=memory_format()))
            optimizer.zero_grad()
            (-excitation(ran(outputs), objective, count).sum()).backward()
            optimizer.step()
            with torch.no_grad():
                v.copy_(threat.project(v))
                if step % check == 0 or step == steps:
                    made = threat.at_full_norm(v)
                    best.look(made, member_fooling(network, parts, clean, made, range(count)), range(count))
                    progress.set_postfix(fooling=f"{best.history[-1]:.2f}")
                    if best.over:
                        finish(progress)
                        break
                v /= torch.tensor([2.0 if halve(step, k, v[k]) else 1.0 for k in range(count)]).view(-1, 1, 1, 1)
    return best.bank(attack, network, threat, seed)
