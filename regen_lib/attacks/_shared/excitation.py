"""What data-free attacks look at: the outputs of a network's convolutions, and how to raise them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from regen_lib.attacks._shared.side_by_side import Best
from regen_lib.core.devices import memory_format
from regen_lib.core.members import lane_fooling, predictions, split
from regen_lib.core.perturbations import Bank, Threat
from regen_lib.core.progress import tqdm
from regen_lib.core.seeding import generator

PATIENCE = 5  # checks without gain before a search ends


def excitation(outputs: list[Tensor], objective: Callable[[Tensor], Tensor], count: int) -> Tensor:
    """``sum_l log objective(a_l)`` for each of ``count`` perturbations, from layers' outputs ``[count * b, ...]``: ``[count]``."""
    layers = [objective(output.reshape(count, -1)) for output in outputs]
    return torch.stack(layers).log().sum(0)


@contextmanager
def convolutions(network: nn.Module) -> Iterator[list[Tensor]]:
    """A list that each forward within fills with the outputs ``[N, C, H, W]`` of all convolutions, in order."""
    seen: list[Tensor] = []
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    handles = [layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output)) for layer in layers]
    handles.append(network.register_forward_pre_hook(lambda _module, _inputs: seen.clear()))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def neutral(network: nn.Module, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and deviation ``[1, C, 1, 1]`` of the pixels that the network's first layer expects: an image that carries nothing."""
    first = getattr(network, "normalize", None)
    if first is None:
        return torch.zeros(1, shape[0], 1, 1), torch.ones(1, shape[0], 1, 1)
    return first.mean, first.std


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
    perturbation: a saturated one no longer moves. ``pixels`` serve only to choose the step: every ``check`` steps the fooling
    ratio on them, at full norm, is taken; the best counts.
    """
    parts = split(pixels, count)
    clean = predictions(network, parts)
    rng = generator(seed, attack)
    v = (torch.rand(count, *pixels.shape[1:], generator=rng) * 2 - 1).mul_(threat.xi).requires_grad_()
    optimizer = torch.optim.Adam([v], lr=rate * threat.xi)
    best = Best(threat.fill(v.detach()), threat.target, PATIENCE)
    with convolutions(network) as outputs:
        for step in (progress := tqdm(range(1, steps + 1), desc=attack)):
            images = inputs(rng)
            x = (images[None] + threat.project(v)[:, None]).flatten(0, 1)
            network(x.contiguous(memory_format=memory_format()))
            optimizer.zero_grad()
            (-excitation(outputs, objective, count).sum()).backward()
            optimizer.step()
            with torch.no_grad():
                v.copy_(threat.project(v))
                if step % check == 0:
                    made = threat.fill(v)
                    best.look(made, lane_fooling(network, parts, clean, made, range(count)), range(count))
                    progress.set_postfix(fooling=f"{best.history[-1]:.2f}")
                    if best.over:
                        break
                for k in range(count):
                    if halve(step, k, v[k]):
                        v[k] /= 2
    return best.bank(attack, network, threat, seed)
