"""Who wrote a module, what its file holds, and what a function looks up outside itself."""

import dis
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import torch

from regen_lib.core.source import PACKAGE, digest, hashes

LOOKS_UP = ("LOAD_GLOBAL", "LOAD_NAME")  # instructions


@cache
def source(module: str) -> str:
    """The code behind a module's name: with all that it imports where it is this package's, its file's where it is the user's.

    Of an installed package the version of torch speaks: it settles those of the others. What was typed is in no file.
    """
    if module.partition(".")[0] == PACKAGE.name:
        return repr(sorted(hashes({module}).items()))
    if not own(module) or (file := file_of(module)) is None:
        return str(torch.__version__)
    return digest(file.read_text(encoding="latin-1"))  # in which any bytes are a text


def own(module: str) -> bool:
    """Whether a module is the user's, in a file or typed at a prompt: neither this package's nor an installed one."""
    root = module.partition(".")[0]
    if root == PACKAGE.name:
        return False
    if (file := file_of(module)) is None:
        return root not in sys.stdlib_module_names
    return not {"site-packages", "dist-packages"} & set(file.parts) and not str(file).startswith(sys.base_prefix)


def file_of(module: str) -> Path | None:
    """The file of a module, or of the package that made it; None for one of a notebook, a prompt, a pipe."""
    while module:
        file = getattr(sys.modules.get(module), "__file__", None)
        if isinstance(file, str) and Path(file).is_file():
            return Path(file)
        module = module.rpartition(".")[0]
    return None


def looked_up(function: FunctionType) -> dict[str, Any]:
    """The globals that a function looks up, and of those that are modules of the user's, what it may look up in them."""
    codes = list(with_inner(function.__code__))
    names = {str(step.argval) for code in codes for step in dis.get_instructions(code) if step.opname in LOOKS_UP}
    attributes = {name for code in codes for name in code.co_names}
    found: dict[str, Any] = {}
    spaces = [("", function.__globals__, names)]
    for prefix, space, wanted in spaces:  # grows on the way
        for name in sorted(wanted & space.keys()):
            found[prefix + name] = value = space[name]
            if isinstance(value, ModuleType) and own(value.__name__) and all(vars(value) is not known for _, known, _ in spaces):
                spaces.append((f"{prefix}{name}.", vars(value), attributes))
    return found


def with_inner(code: CodeType) -> Iterator[CodeType]:
    """Code, and that of the functions in it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from with_inner(inner)
