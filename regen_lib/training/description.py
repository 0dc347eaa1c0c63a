"""A text of what a part of a training is made of: the same for the same content, in every process."""

import hashlib
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from functools import cached_property, partial, singledispatchmethod
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodDescriptorType, MethodType, ModuleType, SimpleNamespace
from types import WrapperDescriptorType as Wrapper
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from regen_lib.core.errors import StudyError
from regen_lib.core.storage import tensors_hash
from regen_lib.core.wrappers import bare
from regen_lib.training.written import looked_up, own, source

PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), range, slice, torch.dtype, torch.device, torch.memory_format)
TORCHS_OWN = vars(nn.Module()).keys()  # hooks, parameters, whether it trains: not a module's own attributes
HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks", "_post_accumulate_grad_hooks")
PYTHON_CLASS = 1 << 9  # CPython's flag of a class that is not built in: nothing of its objects is hidden
METHODS = (FunctionType, staticmethod, classmethod, property)


def described(value: Any) -> str:
    """Tensors by their bytes, files by date and size; functions by their code and what they look up, objects by class and attributes.

    :class:`StudyError` for what no text tells apart, an open file say. It is passed over where a function only finds it around
    itself, among the globals of its module or in its class: a training may write to it, and does not read it.
    """
    return Description(value).text


class Description:
    """The description of one value. Functions and classes name each other, so each has a number and is described in its turn."""

    def __init__(self, value: Any) -> None:
        self.known: dict[int, tuple[object, str]] = {}  # by identity; the object too, so that no other gets its identity
        self.within: list[int] = []  # what is being described
        self.waiting: list[tuple[FunctionType | type, bool]] = []
        self.around = self.lenient = False
        texts = [self.of(value)]
        for code, around in self.waiting:  # grows on the way
            self.around = self.lenient = around
            texts.append(self.of_class(code) if isinstance(code, type) else self.of_function(code))
        self.text = together(texts)

    def of(self, value: Any) -> str:
        """Any value; what holds itself has there how far out it is."""
        if isinstance(value, PLAIN):
            return repr(value)
        if isinstance(value, Path):
            return self.of_path(value)
        if id(value) in self.within:
            return f"the one at {self.within.index(id(value))}"
        if id(value) not in self.known:
            self.within.append(id(value))
            try:
                self.known[id(value)] = value, self.kind(value)
            finally:
                self.within.pop()
        return self.known[id(value)][1]

    def all(self, *values: Any) -> str:
        """Several values."""
        return together(map(self.of, values))

    def found_around(self, values: Any) -> str:
        """What is not a function's or class's own."""
        before = self.around, self.lenient
        self.around = self.lenient = True
        try:
            return self.of(values)
        finally:
            self.around, self.lenient = before

    def untold(self, value: Any) -> str:
        """What nobody can tell from another of its class."""
        if self.lenient:
            return name_of(value)
        kind = type(value).__qualname__
        raise StudyError(f"nobody can tell one {kind} from another: leave it out of the objective, or train without resume")

    @singledispatchmethod
    def kind(self, value: Any) -> str:
        """An object by its class and attributes.

        One of an installed class that holds what cannot be told apart is passed over as a whole: it serves this process, and
        whatever else it has, times and counts, differs from run to run.
        """
        if (attributes := attributes_of(value)) is None:
            return self.untold(value)
        if not self.lenient or own(type(value).__module__):
            return self.all(type(value), attributes)
        known, waiting, self.lenient = len(self.known), len(self.waiting), False
        try:
            return self.all(type(value), attributes)
        except (StudyError, RecursionError):
            self.forget(known, waiting)
            return name_of(value)
        finally:
            self.lenient = True

    def forget(self, known: int, waiting: int) -> None:
        """All but so many of the first values and the first functions and classes."""
        del self.waiting[waiting:]
        for key in list(self.known)[known:]:
            del self.known[key]

    @kind.register
    def _(self, _value: Executor | logging.Logger | logging.LoggerAdapter | logging.Handler | tqdm) -> str:  # type: ignore[type-arg]
        return ""  # who does the work, and who is told of it

    @kind.register
    def _(self, value: Tensor) -> str:
        try:
            return tensors_hash({"": value})
        except RuntimeError:  # a sparse one, one without data
            return self.untold(value)

    @kind.register
    def _(self, value: np.ndarray | np.generic) -> str:
        return self.all(str(value.dtype), value.shape, value.tolist() if value.dtype.hasobject else value.tobytes())

    @kind.register
    def _(self, value: Mapping) -> str:  # type: ignore[type-arg]
        return together(self.all(key, each) for key, each in value.items())

    @kind.register
    def _(self, value: list | tuple | deque) -> str:  # type: ignore[type-arg]
        return self.all(*value)

    @kind.register
    def _(self, value: set | frozenset) -> str:  # type: ignore[type-arg]
        return together(sorted(map(self.of, value)))

    @kind.register
    def _(self, value: partial) -> str:  # type: ignore[type-arg]
        return self.all(value.func, value.args, value.keywords)

    @kind.register
    def _(self, value: MethodType) -> str:
        return self.all(value.__self__, value.__func__)

    @kind.register
    def _(self, value: staticmethod | classmethod) -> str:  # type: ignore[type-arg]
        return self.of(value.__func__)

    @kind.register
    def _(self, value: property) -> str:
        return self.all(value.fget, value.fset, value.fdel)

    @kind.register
    def _(self, value: cached_property) -> str:  # type: ignore[type-arg]
        return self.of(value.func)

    @kind.register
    def _(self, value: FunctionType | type) -> str:
        self.waiting.append((value, self.around))
        return f"code {len(self.waiting)}"

    @kind.register
    def _(self, value: ModuleType) -> str:
        return f"{value.__name__} {source(value.__name__)}"

    @kind.register
    def _(self, value: CodeType) -> str:
        return self.all(value.co_code, value.co_names, value.co_consts)

    @kind.register
    def _(self, value: BuiltinFunctionType | MethodDescriptorType | Wrapper) -> str:
        return f"{getattr(value, '__module__', None)}.{value.__qualname__} {torch.__version__}"

    @kind.register
    def _(self, value: nn.Module) -> str:
        """A network: its weights and buffers, and of each module its class, that one's code, its plain attributes and its hooks."""
        network = bare(value)
        weights, buffers = dict(network.named_parameters()), dict(network.named_buffers())
        parts = [tensors_hash({**weights, **buffers}), *(self.all(*hooks(weight)) for weight in weights.values())]
        for name, module in network.named_modules():
            attributes = {key: each for key, each in vars(module).items() if key not in TORCHS_OWN}
            parts += [name, self.all(type(module), getattr(type(module).forward, "__code__", None), attributes, *hooks(module))]
        return together(parts)

    def of_path(self, path: Path) -> str:
        """A file by date and size; by its name alone where it is not given to the training, which may write to it."""
        if self.around or not path.exists():
            return str(path)
        return str((str(path), path.stat().st_size, path.stat().st_mtime_ns))

    def of_function(self, function: FunctionType) -> str:
        """Its code, defaults and closure; if it is the user's its attributes and globals too: a file does not say what they have become."""
        module = str(function.__globals__.get("__name__"))  # its own __module__ may be that of what it wraps
        cells = [contents(cell) for cell in function.__closure__ or ()]
        inside = self.all(function.__code__, function.__defaults__, function.__kwdefaults__, cells)
        return together([source(module), inside, self.found_around([looked_up(function), vars(function)] if own(module) else None)])

    def of_class(self, kind: type) -> str:
        """Its name and file and those of its bases, and the members that the user gave them."""
        named = [(str(each.__module__), each) for each in kind.__mro__]
        written = self.found_around([members(each) for module, each in named if own(module)])
        return together([*(f"{module}.{each.__qualname__} {source(module)}" for module, each in named), written])


def name_of(value: Any) -> str:
    """The class of a value, and its name if it has one."""
    return f"{type(value).__module__}.{type(value).__qualname__} {getattr(value, '__name__', '')}"


def attributes_of(value: Any) -> Any:
    """The attributes of an object, those in slots too; None where Python does not show them."""
    if not type(value).__flags__ & PYTHON_CLASS and not isinstance(value, SimpleNamespace):
        return None
    return object.__getstate__(value) or getattr(value, "__dict__", None)


def members(kind: type) -> dict[str, Any]:
    """What a class defines: its attributes and methods, not what Python adds."""
    return {name: each for name, each in vars(kind).items() if not name.startswith("__") or isinstance(each, METHODS)}


def hooks(owner: nn.Module | Tensor) -> Iterator[tuple[str, Any, bool]]:
    """The hooks of a module or a weight in their order, and whether they are given keywords. Their keys count all hooks of the process."""
    for name in HOOKS:
        with_kwargs = getattr(owner, f"{name}_with_kwargs", ())
        for key, hook in (getattr(owner, name, None) or {}).items():
            yield name, hook, key in with_kwargs


def contents(cell: Any) -> Any:
    """What a closure's cell holds; the cell's own class for an empty one, whose name has no value yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return type(cell)


def together(parts: Iterable[str]) -> str:
    """Several descriptions as one."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
