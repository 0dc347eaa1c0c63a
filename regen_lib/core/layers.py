"""What a network's convolutions and linear layers take and give, in the order in which they run, however they are written."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from regen_lib.core.errors import StudyError
from regen_lib.core.hooks import hooked
from regen_lib.core.wrappers import eager

Function = Literal["conv2d", "linear"]
MODULES: dict[Function, tuple[type[nn.Module], int]] = {"conv2d": (nn.Conv2d, 4), "linear": (nn.Linear, 2)}  # and its weight's dimensions
S = TypeVar("S", bound=MutableSequence[Tensor])
LOOKING: ContextVar["Watch | None"] = ContextVar("looking", default=None)  # which of those around a call sees it


class Watch(TorchFunctionMode):
    """Sees the calls of ``function`` by a network that runs within (:func:`watched`), and notes in ``seen`` what a subclass says.

    A layer is any call whose weight is a parameter or computed of one by the module that has it: not a fixed filter.
    """

    def __init__(self, function: Function, seen: MutableSequence[Tensor]) -> None:
        super().__init__()
        self.function, self.seen = function, seen
        self.inside: list[set[torch.Size] | None] = []  # of each module that runs: the shapes of its own weights; None: any is a layer's

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        looks = LOOKING.get() is self
        return self.see(func, args, kwargs or {}) if looks else func(*args, **(kwargs or {}))

    def see(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call ``func``, take note, and give the network what it gives."""
        raise NotImplementedError

    def is_layer(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether a call is one of ``function``, with a weight that is a parameter or of the shape of one of the module that runs."""
        weight: Any = args[1] if len(args) > 1 else kwargs.get("weight")
        if getattr(func, "__name__", "") != self.function:
            return False
        return isinstance(weight, nn.Parameter) or any(shapes is None or weight.shape in shapes for shapes in self.inside)


class Noted(Watch):
    """Notes what each layer gives, or with ``inputs`` what it takes."""

    def __init__(self, function: Function, seen: MutableSequence[Tensor], *, inputs: bool = False) -> None:
        super().__init__(function, seen)
        self.inputs = inputs

    def see(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        output = func(*args, **kwargs)
        if not self.is_layer(func, args, kwargs):
            return output
        self.seen.append(first(args, kwargs) if self.inputs else output)
        return output.clone()  # a ReLU in place writes into that, and gradients reach what is noted


def first(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a function is called on."""
    return args[0] if args else kwargs.get("input")


@contextmanager
def watched(network: nn.Module, watch: Watch) -> Iterator[None]:
    """Within, ``watch`` sees each forward of ``network``, and its ``seen`` is of the last."""
    kind, dimensions = MODULES[watch.function]

    def enter(shapes: set[torch.Size] | None) -> Callable[..., None]:
        return lambda *_: watch.inside.append(shapes)

    def leave(*_: object) -> None:
        watch.inside.pop()

    def clear(*_: object) -> None:
        watch.seen.clear()
        watch.inside.clear()

    handles = [network.register_forward_pre_hook(clear)]
    for module in network.modules():
        shapes = {weight.shape for weight in module.parameters(recurse=False) if weight.ndim == dimensions}
        if shapes or isinstance(module, kind):
            entered = enter(None if isinstance(module, kind) else shapes)
            handles += [module.register_forward_pre_hook(entered), module.register_forward_hook(leave)]
    outer = LOOKING.set(watch)
    try:
        with hooked(handles), eager(network), watch:
            yield
    finally:
        LOOKING.reset(outer)


@contextmanager
def noted(network: nn.Module, function: Function, seen: S, *, inputs: bool = False) -> Iterator[S]:
    """``seen``, which each forward within fills as :class:`Noted` says."""
    with watched(network, Noted(function, seen, inputs=inputs)):
        yield seen


def convolutions(network: nn.Module) -> AbstractContextManager[list[Tensor]]:
    """A context; the list that it gives holds, after a forward, the outputs ``[N, C, H, W]`` of all convolutions, in order."""
    return noted(network, "conv2d", [])


def last_convolution(network: nn.Module) -> AbstractContextManager[deque[Tensor]]:
    """As :func:`convolutions`, but the output ``[N, C, H, W]`` of the convolution that ran last alone."""
    return noted(network, "conv2d", deque(maxlen=1))


def last_linear(network: nn.Module) -> AbstractContextManager[deque[Tensor]]:
    """A context; what it gives holds, after a forward, the features ``[N, ..., F]`` that the linear layer that ran last was given."""
    return noted(network, "linear", deque(maxlen=1), inputs=True)


def ran(seen: S, what: str = "2d convolution") -> S:
    """What was ``seen``; :class:`StudyError` where nothing was."""
    if not seen:
        raise StudyError(f"the network runs no {what} that can be seen (TorchScript hides them): this needs the features of one")
    return seen
