"""Compile the walks' kernel for an H100, without one: ``python -m tests.compile_work`` prints the launches, and the bytes spilled.

The interpreter accepts what the compiler does not. Here the kernel is launched as on a GPU, and each launch is compiled for its
arguments, down to machine code, instead of run.
"""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from benchmarks.walks_gpu import drawn
from regen_lib.regeneration import walks_triton

H100 = GPUTarget("cuda", 90, 32)
TYPES = {torch.int64: "*i64", torch.float64: "*fp64"}
ALIGNED = [["tt.divisibility", 16]]  # as Triton takes it of arguments that are multiples of 16
SIZES = ((64, 25, 50), (1, 1, 1))  # Triton takes arguments that are 1 for constants


def compile_only(kernel: Any, *arguments: Any, grid: tuple[int, ...], warmup: bool, **named: Any) -> int:
    """In place of a launch: machine code for these arguments; the bytes of a thread's own memory that it takes."""
    assert not warmup
    assert grid
    options = {key: value for key, value in named.items() if key not in kernel.arg_names}
    given = dict(zip(kernel.arg_names, arguments, strict=False)) | {key: named[key] for key in named if key not in options}
    assert list(given) == kernel.arg_names
    constants = {key: value for key, value in given.items() if key in named or (type(value) is int and value == 1)}
    signature = {key: "constexpr" if key in constants else typed(value) for key, value in given.items()}
    at = {key: (index,) for index, key in enumerate(given)}
    aligned = {at[key]: ALIGNED for key, value in given.items() if key not in constants and multiple(value)}
    source = ASTSource(fn=kernel, signature=signature, constexprs={at[key]: value for key, value in constants.items()}, attrs=aligned)
    return spilled(triton.compile(source, target=H100, options=options).asm["cubin"])


def typed(value: Any) -> str:
    """Triton's name of an argument's type."""
    return TYPES[value.dtype] if isinstance(value, torch.Tensor) else "i32"


def multiple(value: Any) -> bool:
    """Whether Triton would take the argument for a multiple of 16."""
    return isinstance(value, torch.Tensor) or value % 16 == 0


def spilled(cubin: bytes) -> int:
    """Bytes of a thread's own memory that a kernel takes because it has more values than registers."""
    tool = Path(triton.__path__[0]) / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(cubin)
        said = subprocess.check_output([tool, "--dump-resource-usage", file.name], text=True)
    return sum(int(said.split(f"{word}:")[1].split()[0]) for word in ("STACK", "LOCAL"))


if __name__ == "__main__":
    found = []
    with mock.patch.object(JITFunction, "run", lambda *given, **named: found.append(compile_only(*given, **named))):
        for size in SIZES:
            walks_triton.advance(*drawn(*size, torch.Generator()))
    print(json.dumps({"launches": len(found), "spilled": sum(found)}))
