"""What a network's convolutions give once their activation functions have run, however those are written."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from regen_lib.core.layers import Watch, first, watched

ACTIVATIONS = {"relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish", "softplus"}
ACTIVATIONS |= {"hardtanh", "tanh", "threshold", "clamp", "clamp_min", "clamp_max", "clip", "maximum", "minimum", "max", "min"}
ACTIVATIONS |= {"masked_fill"}  # not sigmoid, which serves as a gate
SAME = {"batch_norm", "group_norm", "instance_norm", "layer_norm", "contiguous", "clone", "dropout", "dropout2d", "to", "float"}
SAME |= {"max_pool2d", "avg_pool2d", "pad", "view", "reshape", "flatten", "unflatten"}  # an activation function may follow these, too
AFFINE = {"add", "sub", "mul", "div"}  # with one number a channel
JOINED = AFFINE | {"where", "setitem"}  # with something made of the same output: x * (x > 0), x * x.sigmoid(), x[x < 0] = 0


class Trace(NamedTuple):
    """Of a tensor: the place in ``seen`` of the convolution that it is made of, and whether an activation function may follow it."""

    place: int
    waits: bool


class Activations(Watch):
    """Notes the outputs ``[N, C, H, W]`` of all convolutions, each as the activation function left it that it goes through.

    That is at once or after a normalisation; by a function of torch (of two in a row the first), or by a product, a sum or a choice of
    the output and something that is made of it, as in ``x * (x > 0)``, but for a factor that follows (the ``/ 6`` of
    ``x * relu6(x + 3) / 6``). One written in another way, as ``x *= x.sigmoid()``, is not seen. What a later operation writes in
    place does not show.
    """

    def __init__(self, seen: list[Tensor]) -> None:
        super().__init__("conv2d", seen)
        self.traces: WeakIdKeyDictionary = WeakIdKeyDictionary()  # of tensors that are made of a convolution's output

    def see(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name, given = getattr(func, "__name__", ""), first(args, kwargs)
        kind, written = name.strip("_"), isinstance(given, Tensor) and writes(name, args, kwargs)
        if written and not (given in self.traces and self.traces[given].waits and kind in ACTIVATIONS):
            self.keep(given)
        output = func(*args, **kwargs)
        result = given if kind == "setitem" else output
        if self.is_layer(func, args, kwargs):
            self.traces[output] = Trace(len(self.seen), waits=True)
            self.seen.append(output)
        elif isinstance(result, Tensor):
            self.follow(kind, [arg for arg in (*args, *kwargs.values()) if isinstance(arg, Tensor)], result)
        return output

    def follow(self, kind: str, tensors: list[Tensor], output: Tensor) -> None:
        """Take note of what has become of a convolution's output, where one is among ``tensors`` that ``kind`` of function was given."""
        traces = [self.traces.get(tensor) for tensor in tensors]
        waiting = next((index for index, trace in enumerate(traces) if trace and trace.waits), None)
        made = [trace for tensor, trace in zip(tensors, traces, strict=True) if trace and tensor.shape == output.shape]
        self.traces.pop(output, None)
        if waiting is not None:
            place, others = traces[waiting].place, tensors[:waiting] + tensors[waiting + 1 :]
            joined = kind in JOINED and Trace(place, waits=False) in made
            channelwise = kind in AFFINE and all(other.numel() <= output.shape[1:2].numel() for other in others)
            if joined or (kind in ACTIVATIONS and tensors[waiting].shape == output.shape):
                self.seen[place] = output
            if joined or channelwise or kind in SAME:
                self.traces[output] = Trace(place, waits=True)
                return
        if made:
            self.traces[output] = Trace(made[0].place, waits=False)

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
