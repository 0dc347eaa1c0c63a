"""A fake device: its tensors hold their values on the CPU, and refuse to be used together with tensors of the CPU.

What runs on it places every tensor as a GPU would want it, and must give the same numbers as the CPU.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "pretend"
MEETS_CPU = {  # what a GPU's tensors may do with the CPU's: copies both ways, and indices
    torch.ops.aten._to_copy.default,
    torch.ops.aten.copy_.default,
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put_.default,
    torch.ops.aten._index_put_impl_.default,
}
_library = torch.library.Library("_", "IMPL")


class Pretended(Tensor):
    """A tensor of the device around the tensor ``raw`` with its values."""

    raw: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, raw: Tensor) -> "Pretended":
        measures = {"strides": raw.stride(), "storage_offset": raw.storage_offset(), "dtype": raw.dtype}
        made = Tensor._make_wrapper_subclass(cls, raw.size(), device=torch.device(NAME, 0), **measures)
        made.raw = raw
        return made

    def tolist(self) -> Any:
        return self.raw.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        assert force, f"numpy of a tensor on {NAME}"
        return self.raw.detach().numpy()

    def __format__(self, spec: str) -> str:
        return format(self.raw, spec)

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"{NAME} {self.raw}"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return run(func, *args, **(kwargs or {}))


def run(func: Any, *args: Any, **kwargs: Any) -> Any:
    """An operation on the CPU, on behalf of the device."""
    given = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
    strangers = [t for t in given if not isinstance(t, Pretended) and t.ndim]
    if strangers and len(strangers) < len(given) and func not in MEETS_CPU:
        raise RuntimeError(f"{func}: tensors on {NAME} and on the CPU meet, of shapes {[tuple(t.shape) for t in given]}")
    if func in (torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default) and not isinstance(args[0], Pretended):
        raise RuntimeError(f"{func}: a tensor on the CPU is indexed by one on {NAME}")
    target = torch.device(kwargs.get("device") or NAME)
    if kwargs.get("device") is not None:
        kwargs["device"] = torch.device("cpu")
    raw = func(*tree_map(bare, args), **tree_map(bare, kwargs))
    if target.type == "cpu":
        return raw
    known = {id(t.raw): t for t in given if isinstance(t, Pretended)}  # what an in-place operation gives is what it was given
    return tree_map(lambda leaf: wrapped(leaf, known) if isinstance(leaf, Tensor) else leaf, raw)


def wrapped(raw: Tensor, known: dict[int, Pretended]) -> Pretended:
    """The device's tensor around ``raw``: one of the ``known`` ones, or a new one."""
    found = known.get(id(raw))
    return Pretended(raw) if found is None else found


def bare(leaf: Any) -> Any:
    """The values behind a tensor of the device."""
    return leaf.raw if isinstance(leaf, Pretended) else leaf


class Module(_DummyBackendModule):
    """What torch asks of a device besides its operations."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


def brought(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """What ``make`` makes, made on the CPU and taken to where it was asked for."""

    def made(*args: Any, device: Any = None, **options: Any) -> Tensor:
        return make(*args, device="cpu", **options).to(device or torch.get_default_device())

    return made


def install() -> torch.device:
    """Tell torch of the device; once in a process."""
    _setup_privateuseone_for_python_backend(NAME, Module())
    fallback: Callable[..., Any] = lambda func, *args, **kwargs: run(func, *args, **kwargs)  # noqa: E731
    _library.fallback(fallback, "PrivateUse1")
    torch.__future__.set_swap_module_params_on_conversion(True)  # or Module.to would leave ``raw`` behind
    for name in ("tensor", "arange"):  # neither asks such a device in a way that it could answer
        setattr(torch, name, brought(getattr(torch, name)))
    return torch.device(NAME, 0)
