"""What can happen to a file: cut short, bits flipped, replaced by something else, or gone. Each damage changes the file at a path."""

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

Spoil = Callable[[Path], object]
Change = Callable[[bytes], bytes]
CUTS = (0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.99)
PWNED = "pwned"  # what a pickle that is unpickled leaves beside the project


def rewritten(change: Change) -> Spoil:
    """The damage that replaces a file's bytes."""

    def spoil(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return spoil


def truncations(cuts: tuple[float, ...] = CUTS) -> dict[str, Spoil]:
    """Cut short at these parts of its length, and by one byte."""
    found = {f"cut at {cut:.0%}": rewritten(lambda data, cut=cut: data[: int(cut * len(data))]) for cut in cuts}  # type: ignore[misc]
    return found | {"one byte short": rewritten(lambda data: data[:-1])}


def flips(rng: Random, count: int, start: float = 0.0, stop: float = 1.0) -> dict[str, Spoil]:
    """One bit flipped, at random places between two parts of the file's length."""
    places = [(start + rng.random() * (stop - start), rng.randrange(8)) for _ in range(count)]
    return {f"bit {bit} flipped at {place:.4%}": rewritten(partial(flipped_at, part=place, bit=bit)) for place, bit in places}


def flipped_at(data: bytes, part: float, bit: int) -> bytes:
    """``data`` with one bit the other way, at a part of its length."""
    return flipped(data, int(part * len(data)), bit)


def flipped(data: bytes, place: int, bit: int) -> bytes:
    """``data`` with one bit the other way."""
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def overwritten(data: bytes, start: float, stop: float) -> bytes:
    """``data`` with zeros between two parts of its length, as after a crash of a file system."""
    first, last = int(start * len(data)), int(stop * len(data))
    return data[:first] + bytes(last - first) + data[last:]


OVERWRITTEN: dict[str, Spoil] = {
    "all zeros": rewritten(lambda data: bytes(len(data))),
    "second half zeros": rewritten(lambda data: overwritten(data, 0.5, 1)),
    "a block of zeros": rewritten(lambda data: overwritten(data, 0.7, 0.8)),
    "halves swapped": rewritten(lambda data: data[len(data) // 2 :] + data[: len(data) // 2]),
    "twice": rewritten(lambda data: data * 2),
    "garbage after it": rewritten(lambda data: data + b"garbage"),
    "a byte before it": rewritten(lambda data: b"x" + data),
    "line ends translated": rewritten(lambda data: data.replace(b"\n", b"\r\n") if b"\n" in data else data + b"\r\n"),
}


class Evil:
    """Unpickled, it makes a folder."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (self.target,)


def pickled(path: Path, *, zipped: bool = False) -> None:
    """A pickle that would write outside the project; ``zipped`` as torch writes them."""
    code = pickle.dumps({"state_dict": Evil(str(Path.cwd().parent / PWNED))})
    if not zipped:
        path.write_bytes(code)
        return
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", code)
        archive.writestr("net/version", "3\n")


def numpy_object(path: Path) -> None:
    """An .npy file of Python objects, which are pickled in it."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([Evil(str(Path.cwd().parent / PWNED))], dtype=object), allow_pickle=True)
    path.write_bytes(buffer.getvalue())


def bomb(path: Path) -> None:
    """A zip of 1 MB that holds 256 MB of zeros under the names of torch's own files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("net/data.pkl", pickle.dumps({}))
        archive.writestr("net/version", "3\n")
        with archive.open("net/data/0", "w") as entry:
            for _ in range(64):
                entry.write(bytes(2**22))


def slip(path: Path) -> None:
    """A zip whose entry is named to land outside."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"../../{PWNED}", "out")


REPLACED: dict[str, Spoil] = {
    "empty": lambda path: path.write_bytes(b""),
    "a page that says 404": lambda path: path.write_text("<!DOCTYPE html><html><title>404 Not Found</title></html>\n" * 20),
    "a git-lfs pointer": lambda path: path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"),
    "a pickle": pickled,
    "a pickle in a zip": lambda path: pickled(path, zipped=True),
    "an array of objects": numpy_object,
    "a zip that leaves its folder": slip,
    "an hdf5 signature alone": lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"),
    "a header of 2^63 bytes": lambda path: path.write_bytes(struct.pack("<Q", 2**63 - 1) + b"{}"),
    "a header of 2^30 bytes": lambda path: path.write_bytes(struct.pack("<Q", 2**30) + b"{}"),
    "random bytes": lambda path: path.write_bytes(Random(0).randbytes(5000)),
}


def unlinked(path: Path, then: Callable[[Path], object] = lambda path: None) -> None:
    """Something that is no file in the file's place."""
    path.unlink()
    then(path)


NO_FILE: dict[str, Spoil] = {
    "missing": unlinked,
    "a folder": lambda path: unlinked(path, Path.mkdir),
    "a pipe": lambda path: unlinked(path, os.mkfifo),
    "a dead link": lambda path: unlinked(path, lambda path: path.symlink_to("nowhere")),
    "a link to itself": lambda path: unlinked(path, lambda path: path.symlink_to(path.name)),
    "a device": lambda path: unlinked(path, lambda path: path.symlink_to("/dev/zero")),
    "unreadable": lambda path: path.chmod(0),
}


# --- safetensors: a length, a JSON header with each tensor's type, shape and place, the tensors --------------------------------------


def header_of(data: bytes) -> tuple[dict[str, Any], bytes]:
    """A safetensors file's header, and all that follows it."""
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def with_header(text: bytes, rest: bytes) -> bytes:
    """A safetensors file of a header's text and the tensors."""
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + rest


def header_changed(change: Callable[[dict[str, Any]], object]) -> Spoil:
    """The damage that changes a safetensors header in place."""

    def changed(data: bytes) -> bytes:
        header, rest = header_of(data)
        change(header)
        return with_header(json.dumps(header).encode(), rest)

    return rewritten(changed)


def tensor_of(header: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of a header's largest tensor."""
    names = [name for name in header if name != "__metadata__"]
    entry: dict[str, Any] = header[max(names, key=lambda name: header[name]["data_offsets"][1] - header[name]["data_offsets"][0])]
    return entry


def renamed(header: dict[str, Any], name: Callable[[str], str]) -> None:
    """Another name for the last tensor."""
    old = max(name for name in header if name != "__metadata__")
    header[name(old)] = header.pop(old)


def twisted(header: dict[str, Any]) -> None:
    """Two tensors of one size in each other's place, or the first two dimensions of the largest swapped."""
    entry = tensor_of(header)
    same = [other for name, other in header.items() if name != "__metadata__" and other is not entry and other["shape"] == entry["shape"]]
    if same:
        entry["data_offsets"], same[0]["data_offsets"] = same[0]["data_offsets"], entry["data_offsets"]
    else:
        entry["shape"] = entry["shape"][::-1]


HEADERS: dict[str, Spoil] = {
    "a tensor renamed": header_changed(lambda header: renamed(header, lambda name: f"{name}_")),
    "a tensor named like a path": header_changed(lambda header: renamed(header, lambda _: "../../x")),
    "a tensor named by a null": header_changed(lambda header: renamed(header, lambda _: "\0")),
    "float said to be integer": header_changed(lambda header: tensor_of(header).update(dtype="I32")),
    "half said": header_changed(lambda header: tensor_of(header).update(dtype="F16")),
    "a type that is none": header_changed(lambda header: tensor_of(header).update(dtype="F31")),
    "a shape of 2^62": header_changed(lambda header: tensor_of(header).update(shape=[2**62, 4])),
    "a negative shape": header_changed(lambda header: tensor_of(header).update(shape=[-1])),
    "a shape of text": header_changed(lambda header: tensor_of(header).update(shape="all")),
    "dimensions in another order": header_changed(twisted),
    "offsets past the end": header_changed(lambda header: tensor_of(header).update(data_offsets=[0, 2**40])),
    "offsets turned round": header_changed(lambda header: tensor_of(header).update(data_offsets=tensor_of(header)["data_offsets"][::-1])),
    "no metadata": header_changed(lambda header: header.pop("__metadata__", None)),
    "empty header": rewritten(lambda data: with_header(b"{}", header_of(data)[1])),
    "header of a list": rewritten(lambda data: with_header(b"[]", header_of(data)[1])),
    "deep header": rewritten(lambda data: with_header(b'{"a":' * 30000 + b"1" + b"}" * 30000, header_of(data)[1])),
    "header not UTF-8": rewritten(lambda data: with_header(json.dumps(header_of(data)[0]).encode() + b"\xff\xfe", header_of(data)[1])),
    "huge header": rewritten(
        lambda data: with_header(json.dumps({**header_of(data)[0], "x": "y" * 2_000_000}).encode(), header_of(data)[1])
    ),
}
