"""Which filters are vulnerable: l1 norms, the bound of Eq. 2, the rank, and the noise that is really there (Sec. 4.1)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from regen_lib.core import contract
from regen_lib.core.errors import StudyError
from regen_lib.core.images import as_input, batch_size
from regen_lib.core.surgery import find_conv, layer_inputs
from regen_lib.core.wrappers import eager

BATCH = 250
KNOWN = (SpectralNorm, WeightNorm, BasePruningMethod)  # hooks that set the weight before a forward


def effective_weight(conv: nn.Conv2d) -> Tensor:
    """The weight that ``conv`` convolves with ``[C, inputs / groups, h, w]``, without gradients.

    Weight and spectral normalisation and pruning by hooks keep it from the last forward, so it is computed anew. A class with
    a forward of its own, or other hooks, may do anything to the weight or the output: :class:`StudyError`.
    """
    kind = type(conv)
    if not isinstance(conv, nn.Conv2d):
        raise StudyError(f"a {kind.__name__} has no filters to rank: give an nn.Conv2d of the network, network.get_submodule(name)")
    if kind.forward is not nn.Conv2d.forward or kind._conv_forward is not nn.Conv2d._conv_forward or "forward" in vars(conv):
        remedy = "Eq. 2 and the rank are of its `weight`, which it may change: give an nn.Conv2d that holds the weight it uses"
        raise StudyError(f"{kind.__name__}{tuple(conv.weight.shape)} has a forward of its own: {remedy}")
    strange = [hook for hook in conv._forward_pre_hooks.values() if not isinstance(hook, KNOWN)] + list(conv._forward_hooks.values())
    if strange:
        remedy = "Eq. 2 and the rank are of its weight and its output, which that may change: remove the hook first"
        raise StudyError(f"{kind.__name__}{tuple(conv.weight.shape)} has a hook ({strange[0]}): {remedy}")
    weight: Tensor = conv.weight
    with torch.no_grad():
        for hook in conv._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm):
                weight = hook.compute_weight(conv, do_power_iteration=False)
            elif isinstance(hook, WeightNorm):
                weight = hook.compute_weight(conv)
            elif isinstance(hook, BasePruningMethod):
                weight = hook.apply_mask(conv)
    return weight.detach()


def filter_norms(conv: nn.Conv2d) -> Tensor:
    """``||W_m||_1`` of every filter, float32 ``[C]``."""
    return effective_weight(conv).float().abs().flatten(1).sum(1)


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


def observed_noise(network: nn.Module, layers: Sequence[str], pixels: Tensor, v: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Per layer, the largest noise of every filter and its bound, for every image: two ``[N, filters]``.

    The noise is ``max |phi_m(u + r) - phi_m(u)|`` over positions, with u the layer's clean input and r what ``v``
    ``[1, C, H, W]``, added to the pixels, has become there. A convolution is linear, so this is ``max |W_m * r|``, which is
    how it is computed: the difference of two large activations would round away small noise.
    """
    contract.images(pixels)
    contract.perturbations(v, pixels)
    if len(v) != 1:
        raise StudyError(f"{len(v)} perturbations: the noise is that of one, give bank.perturbations[k : k + 1]")
    found: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in layers}
    with contract.evaluating(network), torch.no_grad(), eager(network):
        weights = {name: effective_weight(find_conv(network, name)) for name in layers}
        for chunk in pixels.split(batch_size(pixels, BATCH)):
            x = as_input(chunk)
            clean, perturbed = layer_inputs(network, layers, x), layer_inputs(network, layers, x + v)
            for name in layers:
                conv, r = find_conv(network, name), perturbed[name] - clean[name]
                noise = conv._conv_forward(r, weights[name], None).abs().flatten(2).amax(2)
                found[name].append((noise, noise_bound(conv, r)))
    return {name: (torch.cat([n for n, _ in parts]), torch.cat([b for _, b in parts])) for name, parts in found.items()}
