"""What a training is made of: code, data and settings. Two that agree in it give the same weights, and only they share epochs."""

import hashlib
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from functools import cache, partial
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from regen_lib.core import processes
from regen_lib.core.devices import memory_format
from regen_lib.core.errors import StudyError
from regen_lib.core.source import PACKAGE, digest, hashes
from regen_lib.core.storage import tensors_hash
from regen_lib.core.wrappers import bare

PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), torch.dtype, torch.device, torch.memory_format)

TORCHS_OWN = vars(nn.Module()).keys()  # hooks, parameters, whether it trains: not a module's own attributes
PYTHON_CLASS = 1 << 9  # CPython's flag of a class that is not built in: nothing of its objects is hidden


def identity(**parts: Any) -> dict[str, str]:
    """A hash of each of ``parts`` (network, images, objective, recipe ...), of the code of the training, and of what it runs on.

    :class:`StudyError` for a part that holds what no hash tells apart, an open file say.
    """
    tf32 = torch.backends.cudnn.allow_tf32
    machine = (torch.get_default_device().type, torch.get_num_threads(), memory_format(), tf32, processes.world())
    found = {"code": digest(source(__package__ + ".loop")), "machine": described(machine)}
    try:
        return found | {name: described(part) for name, part in parts.items()}
    except RecursionError as error:
        raise StudyError("something in the training refers to itself, so nobody can tell it from another: train without resume") from error


def described(value: Any) -> str:
    """A text that is the same for the same content, in every process: tensors by their bytes, functions by code, files by date and size."""
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, Tensor):
        return tensors_hash({"": value})
    if isinstance(value, Path):
        return str((str(value), value.stat().st_size, value.stat().st_mtime_ns) if value.exists() else str(value))
    if isinstance(value, nn.Module):
        return of_module(bare(value))
    if isinstance(value, Mapping):
        return together(described(pair) for pair in value.items())
    if isinstance(value, list | tuple):
        return together(map(described, value))
    if isinstance(value, set | frozenset):
        return together(sorted(map(described, value)))
    if isinstance(value, partial):
        return together(map(described, (value.func, value.args, value.keywords)))
    if isinstance(value, MethodType):
        return together(map(described, (value.__self__, value.__func__)))
    if isinstance(value, FunctionType):
        named = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        cells = [cell.cell_contents for name, cell in named if name != "__class__"]  # that of super(), which has the function
        made_of = (value.__code__, value.__defaults__, value.__kwdefaults__, cells, used(value))
        return together([source(value.__module__), *map(described, made_of)])
    if isinstance(value, ModuleType):
        return f"{value.__name__} {source(value.__name__)}"
    if isinstance(value, CodeType):
        return together(map(described, (value.co_code, value.co_names, value.co_consts)))
    if isinstance(value, type | BuiltinFunctionType):
        classes = [each for each in getattr(value, "__mro__", ()) if in_no_file(str(each.__module__))]
        written = [each for made in classes for each in vars(made).values() if isinstance(each, FunctionType)]
        return f"{value.__module__}.{value.__qualname__} {source(str(value.__module__))} {described(written)}"
    if isinstance(value, Executor):
        return ""  # who does the work
    if type(value).__flags__ & PYTHON_CLASS and hasattr(value, "__dict__"):
        return together(map(described, (type(value), vars(value))))
    raise StudyError(f"nobody can tell one {type(value).__qualname__} from another: leave it out of the objective, or train without resume")


def used(function: FunctionType) -> dict[str, Any]:
    """The globals that a function of no file, a notebook's, names, and what these name: a file speaks for the functions in it."""
    found: dict[str, Any] = {}
    waiting = [function] if in_no_file(function.__module__) else []
    while waiting:
        code = waiting.pop()
        for name in sorted(names_in(code.__code__) & code.__globals__.keys() - found.keys()):
            found[name] = code.__globals__[name]
            if isinstance(found[name], FunctionType) and in_no_file(found[name].__module__):
                waiting.append(found[name])
                found[name] = found[name].__code__
    return dict(sorted(found.items()))


def names_in(code: CodeType) -> set[str]:
    """The names that code looks up, and the functions in it."""
    return set(code.co_names).union(*(names_in(inner) for inner in code.co_consts if isinstance(inner, CodeType)))


def in_no_file(module: str) -> bool:
    """Whether what a module of that name defines was typed, into a notebook or at a prompt."""
    return getattr(sys.modules.get(module), "__file__", None) is None and module not in sys.builtin_module_names


def of_module(network: nn.Module) -> str:
    """A network: its weights and buffers, and of each module its class, that one's code and its plain attributes."""
    parts = [tensors_hash({name: t for named in (network.named_parameters(), network.named_buffers()) for name, t in named})]
    for name, module in network.named_modules():
        attributes = {key: value for key, value in vars(module).items() if key not in TORCHS_OWN}
        parts += [name, *map(described, (type(module), getattr(type(module).forward, "__code__", None), attributes))]
    return together(parts)


def together(parts: Iterable[str]) -> str:
    """Several descriptions as one."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@cache
def source(module: str) -> str:
    """The code behind a module's name: with all that it imports where it is this package's, its file's where it is the user's.

    Of an installed package the version of torch speaks: it settles those of the others.
    """
    if module.partition(".")[0] == PACKAGE.name:
        return repr(sorted(hashes({module}).items()))
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or not file.endswith(".py") or "site-packages" in file or file.startswith(sys.base_prefix):
        return str(torch.__version__)
    return digest(Path(file).read_text(encoding="utf-8"))
