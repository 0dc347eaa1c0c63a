"""Replacing modules by name: how masking and regeneration enter a network. No hooks, so compile, export and state_dict work."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import torch
from torch import Tensor, nn

from regen_lib.core import contract
from regen_lib.core.errors import StudyError
from regen_lib.core.hooks import hooked
from regen_lib.core.modes import each_image_alone, undisturbed
from regen_lib.core.wrappers import is_module

M = TypeVar("M", bound=nn.Module)


def duplicate(network: M, shared: Mapping[int, Tensor] | None = None) -> M:
    """A deep copy of ``network``, but for the tensors of ``shared``, by their identity.

    Tensors of an earlier forward that the network keeps (its features, or the weight that ``weight_norm`` computes) cannot be
    copied with their history: the copy holds them without it.
    """
    kept = {id(tensor): tensor.detach() for module in network.modules() for tensor in computed(vars(module).values())}
    return copy.deepcopy(network, {**kept, **(shared or {})})


def computed(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors with a history among ``values``, and in lists, tuples and dictionaries of them."""
    for value in values:
        if isinstance(value, Tensor):
            if not value.is_leaf:
                yield value
        elif isinstance(value, list | tuple | dict):
            yield from computed(value.values() if isinstance(value, dict) else value)


def view(network: M) -> M:
    """The same network in modules of its own, frozen and in evaluation mode.

    Weights and buffers are shared with the original, not copied; the original's modes and ``requires_grad`` stay its own.
    :class:`StudyError` as :func:`regen_lib.core.modes.each_image_alone` says.
    """
    is_module(network)
    frozen: dict[int, Tensor] = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in network.parameters()}
    result = duplicate(network, frozen | {id(buffer): buffer for buffer in network.buffers()}).eval()
    each_image_alone(result)
    return result


class Wrapped(nn.Module):
    """A convolution ``conv`` with something done to what it gives, in its place in a network; ``input`` is called as a convolution's is.

    :class:`StudyError` where the network reads the convolution's weights, to convolve with them itself: that would pass by this.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    @property
    def weight(self) -> NoReturn:
        """What only a network asks for that convolves by itself."""
        found = "the network convolves with the weight of a convolution that it does not call"
        raise StudyError(f"{found}: write its forward as self.conv(x), or choose another layer")


def with_replaced(network: M, replacements: Mapping[str, nn.Module]) -> M:
    """A :func:`view` of ``network`` with the named modules replaced, under every name that such a module has."""
    names: dict[nn.Module, list[str]] = {}
    for name, module in network.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(name)
    result = view(network)
    for name, replacement in replacements.items():
        for each in names[network.get_submodule(name)]:
            parent, _, child = each.rpartition(".")
            setattr(result.get_submodule(parent), child, replacement)
    return result


def reached(network: nn.Module, layers: Iterable[str], x: Tensor) -> None:
    """Refuse layers that are not called while ``network``, in evaluation mode, sees ``x``: what was put in their place does nothing.

    :class:`StudyError` that names the first, as :func:`with_replaced` cannot: a network may go on calling the old module from a list.
    """
    seen: set[str] = set()
    hooks = (network.get_submodule(name).register_forward_hook(lambda *_, name=name: seen.add(name)) for name in layers)
    with hooked(hooks), undisturbed(network), torch.no_grad():
        contract.ran(network, x)
    for name in layers:
        if name not in seen:
            remedy = "call it as self.name(x), or from an nn.ModuleList, not from a list of the network's own; or choose another layer"
            raise StudyError(f"the network's forward does not pass through {name!r} where it has it by this name: {remedy}")


def find_conv(network: nn.Module, layer: str) -> nn.Conv2d:
    """The convolution named ``layer``; :class:`StudyError` where there is none of that name or it is no convolution."""
    convolutions = [name for name, module in network.named_modules(remove_duplicate=False) if isinstance(module, nn.Conv2d)]
    if layer not in convolutions:
        there = dict(network.named_modules()).get(layer)
        found = "is not in the network" if there is None else f"is a {type(there).__name__}, not a convolution"
        known = f"choose from {', '.join(convolutions)}" if convolutions else "it has no nn.Conv2d: make its convolutions such modules"
        raise StudyError(f"layer {layer!r} {found}: {known}")
    return network.get_submodule(layer)  # type: ignore[return-value]


def layer_inputs(network: nn.Module, layers: Sequence[str], x: Tensor) -> dict[str, Tensor]:
    """What each named convolution receives while the network sees ``x``, without gradients.

    :class:`StudyError` for one that does not run exactly once.
    """
    seen: dict[str, list[Tensor]] = {name: [] for name in layers}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], dict[str, Tensor]], None]:
        # a later layer may write into it; the network may give it by its name
        return lambda _module, inputs, named: seen[name].append((inputs or [named["input"]])[0].clone())

    with hooked(find_conv(network, name).register_forward_pre_hook(keep(name), with_kwargs=True) for name in layers), torch.no_grad():
        contract.ran(network, x.clone())  # it may write into what it is given
    return {name: once(name, inputs) for name, inputs in seen.items()}


def once(name: str, inputs: list[Tensor]) -> Tensor:
    """The one input of a convolution."""
    if len(inputs) != 1:
        how = f"runs {len(inputs)} times in a forward" if inputs else "does not run in a forward (compiled, or not used)"
        raise StudyError(f"convolution {name!r} {how}: give one that runs once, uncompiled; its input would not be one tensor")
    return inputs[0]
