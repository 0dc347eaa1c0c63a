"""How everything in ``data/`` is written and read back: safetensors with JSON metadata and a hash of it all, whole or not at all.

What a bank, a network or a set of units adds to this stands beside the thing itself.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from regen_lib.core import processes
from regen_lib.core.errors import MismatchError, StudyError
from regen_lib.core.modes import undisturbed
from regen_lib.core.options import plain, shown
from regen_lib.core.origin import maker, remedy, renewal
from regen_lib.core.replacing import replace_bytes, replacing
from regen_lib.core.wrappers import bare, is_module

FORMAT = 2
KEY = "regen_lib"  # one key: safetensors writes several in no fixed order
UNSEALED = "0" * 64  # in the place of the hash, until all else is written
OPENING = '{"sha256": "'  # how the metadata begin, the hash follows
MARK = json.dumps(OPENING)[1:-1].encode()  # the same, as a JSON header quotes it
SHOWN = 200  # characters of another library's message, which may quote a whole header
LARGE = 2**20  # bytes: a file from this size on is hashed once a process


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` whole or not at all. Of several processes that come here together the first one writes, the others wait for it."""
    if processes.rank() == 0:
        replace_bytes(path, data)
    processes.wait()


def write_tensors(path: Path, kind: str, tensors: dict[str, Tensor], **metadata: Any) -> None:
    """Write named tensors of one ``kind`` with JSON-able ``metadata``; the same content gives the same bytes."""
    if processes.rank() == 0:
        plain = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
        with replacing(path) as file:
            file.write(save(plain, {KEY: unsealed(kind, **metadata)}))
            seal(file)
    processes.wait()


def unsealed(kind: str, **metadata: Any) -> str:
    """The metadata of a file that is not sealed yet."""
    return OPENING + UNSEALED + '", ' + json.dumps({"format": FORMAT, "kind": kind, **metadata}, sort_keys=True, default=written)[1:]


def written(value: Any) -> Any:
    """What stands in JSON for a ``value`` that it does not know: a number of NumPy's as Python's; :class:`StudyError` for any other."""
    if (number := plain(value)) is value:
        raise StudyError(f"{shown(value)} cannot be written, a {type(value).__name__}: give numbers, texts, lists and dictionaries alone")
    return number


def as_path(path: Path | str) -> Path:
    """Where a file is; :class:`StudyError` for what names none."""
    try:
        return Path(path)
    except TypeError as error:
        raise StudyError(f"path is {shown(path)}: give a text or a pathlib.Path") from error


def seal(file: BufferedRandom) -> None:
    """Put the hash of a safetensors file into its metadata, which :func:`unsealed` made."""
    place, digest = content(file)
    file.seek(place)
    file.write(digest.encode())


def content(file: BufferedRandom | BufferedReader) -> tuple[int, str]:
    """Where a safetensors file keeps its hash, and the SHA-256 of all other bytes: tensors, their names, types, shapes, and metadata."""
    file.seek(0)
    size = file.read(8)
    header = size + file.read(int.from_bytes(size, "little"))
    place = header.index(MARK) + len(MARK)
    rest = hashlib.sha256(header[:place] + header[place + len(UNSEALED) :])
    return place, hashlib.file_digest(file, lambda: rest).hexdigest()


def read_tensors(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_tensors` wrote, to the CPU. The file is mapped: of a large tensor, memory holds what is being used.

    :class:`StudyError` for a missing, damaged, foreign (a pickle, say), older or newer file, or one of another ``kind``.
    """
    check_readable(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dictionary
            metadata = json.loads((file.metadata() or {}).get(KEY, "{}"))
        found = {key: metadata.pop(key, None) for key in ("sha256", "format", "kind")}
    except (SafetensorError, OSError, ValueError, RecursionError, AttributeError, TypeError) as error:
        raise StudyError(
            f"{path} is truncated or no safetensors file ({str(error)[:SHOWN]}); nothing is unpickled: {renewal(path)}"
        ) from error
    if (found["format"], found["kind"]) != (FORMAT, kind):
        said = f"kind {found['kind']!r} in format {found['format']!r}, expected kind {kind!r} in format {FORMAT!r}"
        raise StudyError(f"{path}: {said}: {renewal(path)}")
    if found["sha256"] != checksum(path):
        raise StudyError(f"{path} is damaged, its content is not what was written: {renewal(path)}")
    return tensors, metadata


def check_readable(path: Path) -> None:
    """:class:`StudyError` for a file that is missing, none at all (a folder, a pipe, a link to itself), or not to be read."""
    try:
        if path.is_file():
            path.open("rb").close()
            return
        state = "is no file" if path.is_symlink() or path.exists() else "is missing"
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror}") from error
    raise StudyError(f"{path} {state}: {remedy(path)}")


@contextmanager
def opened(path: Path, kind: str) -> Iterator[tuple[dict[str, Tensor], dict[str, Any]]]:
    """What :func:`read_tensors` reads, for a block that builds something of it.

    What the block cannot use (a name or key that is missing, a type, a shape) becomes a :class:`StudyError` with path and remedy. A
    :class:`MismatchError` has a remedy, and the file needs none: it gets the path, and what makes such a file anew where that is known.
    """
    tensors, metadata = read_tensors(path, kind)
    try:
        yield tensors, metadata
    except MismatchError as error:
        anew = maker(path)
        raise MismatchError(f"{path}: {error}{f' (it is made anew so: {anew})' if anew else ''}") from error
    except StudyError as error:
        raise StudyError(f"{path}: {error}: {renewal(path)}") from error
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise StudyError(f"{path} does not hold what a file of {kind} holds ({type(error).__name__}: {error}): {renewal(path)}") from error


def checksum(path: Path) -> str:
    """The hash of a file's content."""
    state = path.stat()
    if state.st_size < LARGE:
        return checksum_of(path)
    return remembered(path, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)


@cache
def remembered(path: Path, *_state: int) -> str:
    """The hash of a large file in that state."""
    return checksum_of(path)


def checksum_of(path: Path) -> str:
    """The hash of a file's content, read now; nothing for one that has no place for it."""
    with path.open("rb") as file:
        try:
            return content(file)[1]
        except ValueError:
            return ""


def weights_hash(network: nn.Module) -> str:
    """SHA-256 over the names, shapes and bytes of a network's weights and buffers, whatever wraps it."""
    is_module(network)
    return tensors_hash(bare(network).state_dict())


def made_for(what: str, kept: str, network: nn.Module) -> None:
    """:class:`MismatchError` unless ``network`` has the weights whose hash was ``kept`` with a file; ``what`` says which they are."""
    if not isinstance(kept, str):
        raise StudyError(f"its network_hash is {shown(kept)}")
    if (given := weights_hash(network)) != kept:
        raise MismatchError(f"{what}: give the network whose hash is {kept} (this one's is {given})")


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names, shapes and bytes of named tensors; a large tensor is not copied."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def fill(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load ``tensors`` into ``module``; :class:`StudyError` where :func:`check_fit` says so."""
    check_fit(module, tensors)
    module.load_state_dict(tensors)


def check_fit(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """:class:`StudyError` where ``tensors`` are of other names, shapes or types than those of ``module``, or a value is not finite.

    Whoever reads a file asks; so does whoever writes one, so that none is written that nobody can read.
    """
    wanted = module.state_dict()
    if other := sorted(wanted.keys() ^ tensors.keys()):
        there = "one too many" if other[0] in tensors else "missing"
        raise StudyError(f"it does not fit {type(module).__name__}: {other[0]} is {there}")
    for name, tensor in tensors.items():
        place = wanted[name]
        if (tensor.shape, tensor.dtype) != (place.shape, place.dtype):
            found, expected = (f"{t.dtype} {tuple(t.shape)}" for t in (tensor, place))
            raise StudyError(f"it does not fit {type(module).__name__}: {name} is {found}, expected {expected}")
    check_finite(tensors)


def check_reads_back(module: nn.Module, build: Callable[[], nn.Module], what: str, remedy: str) -> None:
    """:class:`StudyError` where what ``build`` makes anew, as a reader does, cannot take the tensors of ``module``; no random number is
    drawn. ``what`` says whose the module should be."""
    with undisturbed(module):
        anew = build()
    try:
        check_fit(anew, module.state_dict())
    except StudyError as error:
        raise StudyError(f"this is not the {what} made, and could not be read back ({error}): {remedy}") from error


def check_finite(tensors: Mapping[str, Tensor]) -> None:
    """:class:`StudyError` for a value that is not finite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise StudyError(f"{name} holds NaN or infinity")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV with four decimals: more than the intervals carry, and the same bytes on every rerun."""
    write_bytes(path, table.to_csv(index=False, float_format="%.4f", lineterminator="\n").encode())
