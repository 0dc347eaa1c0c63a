"""Compile every kernel for an H100, without one: ``python -m tests.compile_work`` prints, a line a launch, what it takes of one.

The interpreter accepts what the compiler does not. Here wrappers launch as they do on a GPU, and each launch is compiled for its
arguments, down to machine code, instead of run.
"""

import json
import math
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

with mock.patch.object(torch.cuda, "is_available", return_value=True):  # kernels ask when they are imported
    from regen_lib.kernels import deepfool_step, perturb, regenerate, universal_step, walks

H100 = GPUTarget("cuda", 90, 32)
TYPES = {
    torch.uint8: "*u8",
    torch.int64: "*i64",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.float32: "*fp32",
    torch.float64: "*fp64",
}
ALIGNED = [["tt.divisibility", 16]]  # as Triton takes it of arguments that are multiples of 16


def compile_only(kernel: Any, *arguments: Any, grid: tuple[int, ...], warmup: bool, **named: Any) -> None:
    """In place of a launch: machine code for these arguments, and a line about it."""
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
    compiled = triton.compile(source, target=H100, options=options)
    ones = any(key not in named for key in constants)
    line = {"kernel": kernel.__name__, "ones": ones, "spilled": spilled(compiled.asm["cubin"]), "ptx": compiled.asm["ptx"]}
    print(json.dumps(line))


def typed(value: Any) -> str:
    """Triton's name of an argument's type."""
    return TYPES[value.dtype] if isinstance(value, torch.Tensor) else "fp32" if isinstance(value, float) else "i32"


def multiple(value: Any) -> bool:
    """Whether Triton would take the argument for a multiple of 16."""
    return isinstance(value, torch.Tensor) or (isinstance(value, int) and value % 16 == 0)


def spilled(cubin: bytes) -> int:
    """Bytes of a thread's own memory that a kernel takes because it has more values than registers."""
    tool = Path(triton.__path__[0]) / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(cubin)
        said = subprocess.check_output([tool, "--dump-resource-usage", file.name], text=True)
    return sum(int(said.split(f"{word}:")[1].split()[0]) for word in ("STACK", "LOCAL"))


def main() -> None:
    """Every kernel, over types, for sizes that are and that are not multiples of 16."""
    draw = torch.zeros
    for side in (7, 64):
        pixels, v, choice = draw(2, 3, side, side, dtype=torch.uint8), draw(4, 3, side, side), draw(2, dtype=torch.long)
        normal = draw(1, 3, 1, 1), draw(1, 3, 1, 1)
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            perturb.kernel(pixels, v, choice, True, normal, dtype)
            features, hidden = (
                draw(2, width, side, side, dtype=dtype).contiguous(memory_format=torch.channels_last) for width in (side, side // 2)
            )
            channels = torch.arange(side // 2)
            regenerate.gather_kernel(features, channels, draw(side // 2, side // 2, dtype=dtype))
            regenerate.scatter_kernel(hidden, channels, draw(side // 2, side // 2, dtype=dtype), features)
        perturb.kernel(pixels, v, choice, False, None, torch.float32)
        deepfool_step.kernel(draw(2, 10), draw(3, 2, 3, side, side), draw(2, 4, dtype=torch.long))
        for norm, images in ((math.inf, 1), (math.inf, 5), (2.0, 1), (2.0, 5)):
            universal_step.kernel(v, draw(4, images, 3, side, side), 1.0, norm, 10.0)
        gram, limit = draw(25, 25).double(), draw(()).double()
        c, steps, alpha, member = draw(side, 25).double(), draw(side).long(), draw(50, side).double(), draw(50, side).long()
        walks.kernel(gram, c, c.clone(), steps, alpha, member, limit)
    one = draw(1, 1, 5, 5)  # Triton takes arguments that are 1 for constants
    perturb.kernel(one.byte(), one, draw(1, dtype=torch.long), True, (draw(1), draw(1)), torch.float32)
    features = draw(1, 2, 5, 5).contiguous(memory_format=torch.channels_last)
    regenerate.gather_kernel(features, torch.arange(1), draw(1, 1))
    regenerate.scatter_kernel(one, torch.arange(1), draw(1, 1), features)
    deepfool_step.kernel(draw(1, 2), one[None], draw(1, 2, dtype=torch.long))
    double, whole = draw(1, 1).double(), draw(1).long()
    walks.kernel(double, double, double, whole, double, whole[None], draw(()).double())


if __name__ == "__main__":
    with mock.patch.object(JITFunction, "run", compile_only):
        main()
