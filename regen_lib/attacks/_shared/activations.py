"""What a network's convolutions give while it runs, however they and their activation functions are written."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from regen_lib.core.errors import StudyError
from regen_lib.core.hooks import hooked
from regen_lib.core.wrappers import eager

ACTIVATIONS = {"relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish", "softplus"}
ACTIVATIONS |= {"hardtanh", "tanh", "threshold", "clamp", "clamp_min", "maximum", "masked_fill"}  # not sigmoid, which serves as a gate
SAME = {"batch_norm", "group_norm", "instance_norm", "layer_norm", "contiguous", "clone", "dropout", "dropout2d", "to", "float"}
SAME |= {"max_pool2d", "avg_pool2d", "pad", "view", "reshape", "flatten", "unflatten"}  # an activation function may follow these, too
AFFINE = {"add", "sub", "mul", "div"}  # with one number a channel


class Watch(TorchFunctionMode):
    """Fills ``seen`` with the outputs ``[N, C, H, W]`` of all convolutions that run within, in order.

    With ``rectified``, an output that goes through an activation function, at once or after a normalisation, stands as that
    function left it; one written as ``where`` or by indexing is not seen. What a later operation writes in place does not show. A
    convolution is any whose weight is a parameter or computed of one by the module that has it: not a fixed filter.
    """

    def __init__(self, seen: list[Tensor], *, rectified: bool) -> None:
        super().__init__()
        self.seen, self.rectified = seen, rectified
        self.inside: list[set[torch.Size] | None] = []  # of each module that runs: the shapes of its own weights; None: any is a filter
        self.waits: WeakIdKeyDictionary = WeakIdKeyDictionary()  # tensors that an activation function may follow: places in seen

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        first = args[0] if args and isinstance(args[0], Tensor) else kwargs.get("input")
        place = self.waits.get(first) if isinstance(first, Tensor) else None
        kind = name.strip("_")
        written = isinstance(first, Tensor) and writes(name, args, kwargs)
        if isinstance(first, Tensor) and written and not (self.rectified and place is not None and kind in ACTIVATIONS):
            self.keep(first)
        output = func(*args, **kwargs)
        if kind == "conv2d" and isinstance(output, Tensor) and self.learned(weight_of(args, kwargs)):
            self.waits[output] = len(self.seen)
            self.seen.append(output)
        elif self.rectified and isinstance(output, Tensor) and kind in (ACTIVATIONS | SAME | AFFINE):
            self.follow(kind, args, place, output)
        elif isinstance(first, Tensor) and (written or output is first):
            self.waits.pop(first, None)
        return output

    def learned(self, weight: Any) -> bool:
        """Whether a convolution's ``weight`` is a parameter, or computed of one by the module that runs: of that parameter's shape."""
        return isinstance(weight, nn.Parameter) or any(shapes is None or weight.shape in shapes for shapes in self.inside)

    def follow(self, kind: str, args: tuple[Any, ...], place: int | None, output: Tensor) -> None:
        """Take note of what has become of a convolution's output."""
        if kind in AFFINE:
            places = [self.waits.get(arg) if isinstance(arg, Tensor) else None for arg in args[:2]]
            sizes = [arg.numel() if isinstance(arg, Tensor) else 1 for arg in args[:2]]
            found = [p for p, other in zip(places, sizes[::-1], strict=True) if p is not None and other <= output.shape[1]]
            place = found[0] if found else None
        self.waits.pop(output, None)
        if place is None:
            return
        if kind in ACTIVATIONS:
            self.seen[place] = output
        else:
            self.waits[output] = place

    def keep(self, tensor: Tensor) -> None:
        """Before an operation writes into ``tensor``: what has been seen stays as it is."""
        for index, seen in enumerate(self.seen):
            if seen is tensor:
                self.seen[index] = tensor.clone()


def writes(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether an operation may write into its first argument."""
    named = name in ("__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__") or (name.endswith("_") and not name.endswith("__"))
    return named or bool(kwargs.get("inplace")) or any(arg is True for arg in args[1:])


def weight_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The weight that ``conv2d`` is called with."""
    return args[1] if len(args) > 1 else kwargs.get("weight")


@contextmanager
def watched(network: nn.Module, *, rectified: bool) -> Iterator[list[Tensor]]:
    """A list that each forward within fills as :class:`Watch` says."""
    seen: list[Tensor] = []
    watch = Watch(seen, rectified=rectified)

    def enter(shapes: set[torch.Size] | None) -> Callable[..., None]:
        return lambda *_: watch.inside.append(shapes)

    def leave(*_: object) -> None:
        watch.inside.pop()

    def clear(*_: object) -> None:
        seen.clear()
        watch.inside.clear()

    handles = [network.register_forward_pre_hook(clear)]
    for module in network.modules():
        shapes = {weight.shape for weight in module.parameters(recurse=False) if weight.ndim == 4}
        if shapes or isinstance(module, nn.Conv2d):
            entered = enter(None if isinstance(module, nn.Conv2d) else shapes)
            handles += [module.register_forward_pre_hook(entered), module.register_forward_hook(leave)]
    with hooked(handles), eager(network), watch:
        yield seen


def convolutions(network: nn.Module) -> AbstractContextManager[list[Tensor]]:
    """A context; the list that it gives holds, after a forward, the outputs ``[N, C, H, W]`` of all convolutions, in order."""
    return watched(network, rectified=False)


def activations(network: nn.Module) -> AbstractContextManager[list[Tensor]]:
    """As :func:`convolutions`, but each output after its activation function, where one follows, at once or after a normalisation."""
    return watched(network, rectified=True)


def ran(outputs: list[Tensor]) -> list[Tensor]:
    """The outputs; :class:`StudyError` where there are none."""
    if not outputs:
        raise StudyError("the network runs no 2d convolution that can be seen (TorchScript hides them): this needs the features of one")
    return outputs
