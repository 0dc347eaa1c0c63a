"""What a network's convolutions give once their activation functions have run, however those are written."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from regen_lib.core.layers import Watch, first, watched

ACTIVATIONS = {"relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish", "softplus"}
ACTIVATIONS |= {"hardtanh", "tanh", "threshold", "clamp", "clamp_min", "maximum", "masked_fill"}  # not sigmoid, which serves as a gate
SAME = {"batch_norm", "group_norm", "instance_norm", "layer_norm", "contiguous", "clone", "dropout", "dropout2d", "to", "float"}
SAME |= {"max_pool2d", "avg_pool2d", "pad", "view", "reshape", "flatten", "unflatten"}  # an activation function may follow these, too
AFFINE = {"add", "sub", "mul", "div"}  # with one number a channel


class Activations(Watch):
    """Notes the outputs ``[N, C, H, W]`` of all convolutions, each as the activation function left it that it goes through.

    That is at once or after a normalisation; one written by indexing is not seen. What a later operation writes in place does
    not show.
    """

    def __init__(self, seen: list[Tensor]) -> None:
        super().__init__("conv2d", seen)
        self.waits: WeakIdKeyDictionary = WeakIdKeyDictionary()  # tensors that an activation function may follow: places in seen

    def see(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name, given = getattr(func, "__name__", ""), first(args, kwargs)
        kind = name.strip("_")
        place = self.waits.get(given) if isinstance(given, Tensor) else None
        written = isinstance(given, Tensor) and writes(name, args, kwargs)
        if written and not (place is not None and kind in ACTIVATIONS):
            self.keep(given)
        output = func(*args, **kwargs)
        if self.is_layer(func, args, kwargs):
            self.waits[output] = len(self.seen)
            self.seen.append(output)
        elif isinstance(output, Tensor) and kind in (ACTIVATIONS | SAME | AFFINE):
            self.follow(kind, args, place, output)
        elif isinstance(given, Tensor) and (written or output is given):
            self.waits.pop(given, None)
        return output

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


@contextmanager
def activations(network: nn.Module) -> Iterator[list[Tensor]]:
    """A list that holds, after a forward of ``network`` within, what :class:`Activations` notes."""
    seen: list[Tensor] = []
    with watched(network, Activations(seen)):
        yield seen
