"""Fused GPU kernels: one operation a file, its formula, a Triton kernel, and the plain torch twin that runs everywhere else.

The rule of dispatch is one: CUDA tensors, and Triton is installed: the kernel; otherwise the twin. Where TRITON_INTERPRET=1 is
set before this package is imported, the kernels run on CPU tensors too, in Triton's interpreter: that is how they are tested
without a GPU. Triton is not imported where neither holds: it would cost every stage half a second.
"""

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def load() -> tuple[Any, Any]:
    """``triton`` and ``triton.language``; two empty names where they would not be used or are not there."""
    if INTERPRETED or torch.cuda.is_available():
        try:
            import triton
            import triton.language

            return triton, triton.language
        except ImportError:
            pass
    return None, SimpleNamespace(constexpr=int)


triton, tl = load()


def jit(function: Callable[..., Any]) -> Any:
    """``triton.jit``, or the function as it is, never to be called, where Triton is not in use."""
    return function if triton is None else triton.jit(function)


def fused(*tensors: Tensor) -> bool:
    """Whether these tensors are for the kernel."""
    return triton is not None and all(tensor.is_cuda for tensor in tensors)
