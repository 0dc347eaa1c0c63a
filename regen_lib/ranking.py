"""Which filters are vulnerable: l1 norms, the bound of Eq. 2, the rank, and the noise that is really there (Sec. 4.1)."""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor, nn

from regen_lib.errors import StudyError
from regen_lib.images import as_input, at_once

BATCH = 250


def find_conv(network: nn.Module, layer: str) -> nn.Conv2d:
    """The convolution named ``layer``; :class:`StudyError` where there is none of that name or it is no convolution."""
    convolutions = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    if layer not in convolutions:
        there = dict(network.named_modules()).get(layer)
        found = "is not in the network" if there is None else f"is a {type(there).__name__}, not a convolution"
        raise StudyError(f"layer {layer!r} {found}: choose from {', '.join(convolutions)}")
    return network.get_submodule(layer)  # type: ignore[return-value]


def filter_norms(conv: nn.Conv2d) -> Tensor:
    """``||W_m||_1`` of every filter, float32 ``[C]``."""
    return conv.weight.detach().float().abs().flatten(1).sum(1)


def rank(conv: nn.Conv2d) -> Tensor:
    """Filter indices ``[C]`` from the most to the least vulnerable: by l1 norm, descending, ties by index."""
    return filter_norms(conv).argsort(descending=True, stable=True)


def top(conv: nn.Conv2d, ratio: float) -> Tensor:
    """The most vulnerable ``ratio`` of the filters, at least one: indices ``[N]``. ``ratio`` in (0, 1]."""
    if not 0 < ratio <= 1:
        raise StudyError(f"ratio {ratio} lies outside (0, 1]: it is the fraction of filters, 0.5 in the paper")
    return rank(conv)[: max(1, round(ratio * conv.out_channels))]


def noise_bound(conv: nn.Conv2d, perturbation: Tensor) -> Tensor:
    """Eq. 2: no value of filter m's noise exceeds ``||W_m||_1 * ||r||_inf``.

    ``perturbation`` r ``[N, C, H, W]`` at the layer's input; returns ``[N, filters]``. The paper writes ``||r||_p``, which is
    never smaller than ``||r||_inf``, so this is its tightest case.
    """
    return perturbation.abs().flatten(1).amax(1)[:, None] * filter_norms(conv)[None, :]


def layer_inputs(network: nn.Module, layers: Sequence[str], x: Tensor) -> dict[str, Tensor]:
    """What each named convolution receives while the network sees ``x``, without gradients."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> torch.utils.hooks.RemovableHandle:
        def store(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen[name] = inputs[0]

        return find_conv(network, name).register_forward_pre_hook(store)

    handles = [keep(name) for name in layers]
    try:
        with torch.no_grad():
            network(x)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def observed_noise(network: nn.Module, layers: Sequence[str], pixels: Tensor, v: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Per layer, the largest noise of every filter and its bound, for every image: two ``[N, filters]``.

    The noise is ``max |phi_m(u + r) - phi_m(u)|`` over positions, with u the layer's clean input and r what ``v``
    ``[1, C, H, W]``, added to the pixels, has become there. A convolution is linear, so this is ``max |W_m * r|``, which is
    how it is computed: the difference of two large activations would round away small noise.
    """
    found: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in layers}
    for chunk in pixels.split(at_once(pixels, BATCH)):
        x = as_input(chunk)
        clean, perturbed = layer_inputs(network, layers, x), layer_inputs(network, layers, x + v)
        for name in layers:
            conv, r = find_conv(network, name), perturbed[name] - clean[name]
            with torch.no_grad():
                noise = conv._conv_forward(r, conv.weight, None).abs().flatten(2).amax(2)
            found[name].append((noise, noise_bound(conv, r)))
    return {name: (torch.cat([n for n, _ in parts]), torch.cat([b for _, b in parts])) for name, parts in found.items()}


def filter_table(name: str, network: nn.Module, layers: Sequence[str], pixels: Tensor, v: Tensor, drawn: nn.Module) -> pd.DataFrame:
    """Fig. 2's data: a row a filter of each layer, in the order of the rank.

    ``norm`` is ||W||_1, ``drawn`` what it is in the network of that name, before training; ``bound`` and ``observed`` are the
    largest over the images; ``tightest`` is the largest share that the noise reaches of its own image's bound.
    """
    tables = []
    for depth, (layer, (noise, bound)) in enumerate(observed_noise(network, layers, pixels, v).items(), start=1):
        conv = find_conv(network, layer)
        order = rank(conv)
        columns = {
            "norm": filter_norms(conv),
            "drawn": filter_norms(find_conv(drawn, layer)),
            "bound": bound.amax(0),
            "observed": noise.amax(0),
        }
        columns["tightest"] = (noise / bound.clamp_min(1e-12)).amax(0)
        table = pd.DataFrame({key: value[order].numpy(force=True) for key, value in columns.items()})
        table.insert(0, "position", range(1, len(table) + 1))
        table.insert(0, "filter", order.numpy(force=True))
        tables.append(table.assign(network=name, layer=layer, depth=depth))
    return pd.concat(tables, ignore_index=True)
