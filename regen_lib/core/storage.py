"""How everything in ``data/`` is written and read back: safetensors with JSON metadata, whole or not at all.

What a bank, a network or a set of units adds to this stands beside the thing itself.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from regen_lib.core import processes
from regen_lib.core.errors import StudyError
from regen_lib.core.origin import remedy
from regen_lib.core.wrappers import bare

FORMAT = 1
KEY = "regen_lib"  # one key: safetensors writes several in no fixed order


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to a temporary name, then rename: a kill leaves the old file or the new one, never half of one.

    Of several processes that come here together the first one writes, the others wait for it.
    """
    if processes.rank() == 0:
        replace_bytes(path, data)
    processes.wait()


def replace_bytes(path: Path, data: bytes) -> None:
    """Write to a temporary name, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_bytes(data)
    partial.replace(path)


def write_tensors(path: Path, kind: str, tensors: dict[str, Tensor], **metadata: Any) -> None:
    """Write named tensors of one ``kind`` with JSON-able ``metadata``; the same content gives the same bytes."""
    text = json.dumps({"format": FORMAT, "kind": kind, **metadata}, sort_keys=True)
    plain = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    write_bytes(path, save(plain, {KEY: text}))


def read_tensors(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_tensors` wrote, to the CPU. The file is mapped: of a large tensor, memory holds what is being used.

    :class:`StudyError` for a missing, truncated, foreign (a pickle, say) or newer file, or one of another ``kind``.
    """
    if not path.is_file():
        raise StudyError(f"{path} is missing: {remedy(path)}")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dictionary
            metadata = json.loads((file.metadata() or {}).get(KEY, "{}"))
    except (SafetensorError, ValueError) as error:
        why = "only safetensors files are read, nothing is unpickled; delete it and run `dvc repro`"
        raise StudyError(f"{path} is truncated or no safetensors file ({error}): {why}") from error
    if (metadata.get("format"), metadata.get("kind")) != (FORMAT, kind):
        found = f"kind {metadata.get('kind')!r} in format {metadata.get('format')!r}"
        raise StudyError(f"{path}: {found}, expected kind {kind!r} in format {FORMAT!r}: make it again with `dvc repro`")
    return tensors, {key: value for key, value in metadata.items() if key not in ("format", "kind")}


def weights_hash(network: nn.Module) -> str:
    """SHA-256 over the names, shapes and bytes of a network's weights and buffers, whatever wraps it."""
    return tensors_hash(bare(network).state_dict())


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names, shapes and bytes of named tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def fill(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load ``tensors`` into ``module``; :class:`StudyError` where names or shapes differ or a value is not finite."""
    bad = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not bool(tensor.isfinite().all())]
    if bad:
        raise StudyError(f"{path}: {bad[0]} holds NaN or infinity: delete the file and run `dvc repro`")
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise StudyError(f"{path} does not fit {type(module).__name__}: {error}") from error


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV with four decimals: more than the intervals carry, and the same bytes on every rerun."""
    write_bytes(path, table.to_csv(index=False, float_format="%.4f", lineterminator="\n").encode())
