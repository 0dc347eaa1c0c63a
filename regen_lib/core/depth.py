"""A layer of any network, by name or by depth, and the network up to there."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.core.hooks import hooked
from regen_lib.core.wrappers import bare


class Reached(Exception):  # noqa: N818  # no error: the way out of a forward
    """The layer has run; ``output`` is what it gave."""

    def __init__(self, output: object) -> None:
        super().__init__()
        self.output = output


def leaves(module: nn.Module) -> int:
    """How many modules without modules of their own there are in ``module``, but for identities: they do nothing."""
    return sum(not list(part.children()) and not isinstance(part, nn.Identity) for part in module.modules())


def holds_most(part: nn.Module, network: nn.Module) -> bool:
    """Whether more than half of the layers of ``network`` are in ``part``, and it can be taken apart."""
    return leaves(part) > leaves(network) / 2 and bool(list(part.children()))


def parts(network: nn.Module) -> list[nn.Module]:
    """What ``network`` consists of: its top-level parts, with the parts of any that holds more than half of its layers in its place.

    So a wrapper, a normalisation before the network or one long ``features`` does not hide what depth is counted in. Identities are no
    parts.
    """
    found = [network]
    while True:
        large = [index for index, part in enumerate(found) if holds_most(part, network)]
        if not large:
            return [part for part in found if not isinstance(part, nn.Identity)]
        found[large[0] : large[0] + 1] = found[large[0]].children()


def executed(network: nn.Module, x: Tensor) -> list[tuple[nn.Module, int]]:
    """The :func:`parts` in the order in which they run on ``x``, each with how often it ran before."""
    order: list[nn.Module] = []
    with hooked(part.register_forward_hook(lambda run, _inputs, _output: order.append(run)) for part in parts(network)), torch.no_grad():
        network(x)
    return [(module, order[:index].count(module)) for index, module in enumerate(order)]


def at_depth(network: nn.Module, x: Tensor, depth: float) -> tuple[nn.Module, int]:
    """The last of the first ``depth`` of the executed parts, from the second on; with how often it ran before.

    :class:`StudyError` for a depth outside (0, 1], where fewer than two parts run, and for a depth below 1 that is the last of them: the
    network's output, or what stands before it where the rest is not written as modules.
    """
    if not 0 < depth <= 1:
        raise StudyError(f"depth {depth} lies outside (0, 1]: it is a fraction of the network's parts")
    order = executed(network, x)
    if len(order) < 2:
        found = f"depth {depth} is of the network's modules that run, of which there is {len(order) or 'none'}"
        raise StudyError(f"{found}: write its operations as modules, or name a layer")
    count = max(2, round(depth * len(order)))
    if depth < 1 and count == len(order):
        found = f"depth {depth} reaches the last of the {count} modules of the network that run, its output"
        raise StudyError(f"{found}: give a smaller depth or, of a network of few modules, name a layer")
    return order[count - 1]


def named(network: nn.Module, layer: str) -> tuple[nn.Module, int]:
    """The module of that name, as it first runs; :class:`StudyError` where there is none."""
    modules = dict(bare(network).named_modules(remove_duplicate=False))
    if layer not in modules or not layer:
        raise StudyError(f"layer {layer!r} is not in the network: choose from {', '.join(name for name in modules if name)}")
    return modules[layer], 0


def upto(network: nn.Module, module: nn.Module, before: int = 0) -> Callable[[Tensor], Tensor]:
    """What ``module`` gives when it runs for the time after ``before`` others, of the network's input; the rest does not run."""

    def run(x: Tensor) -> Tensor:
        count = 0

        def stop(_module: nn.Module, _inputs: object, output: object) -> None:
            nonlocal count
            count += 1
            if count > before:
                raise Reached(output)

        try:
            with module.register_forward_hook(stop):
                network(x)
        except Reached as reached:
            if not isinstance(reached.output, Tensor):
                kind = type(reached.output).__name__
                raise StudyError(f"a {type(module).__name__} gives a {kind}: choose a layer that gives a tensor") from None
            return reached.output
        raise StudyError(f"the {type(module).__name__} does not run in the network's forward: choose another layer")

    return run
