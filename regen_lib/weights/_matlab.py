"""MATLAB's files before version 7.3, looked through before scipy reads them: its reader is C, and trusts the types that a file names."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regen_lib.core.extras import need

scipy_io = need("scipy.io", what="reading .mat files", package="scipy", extra="weights")

HEADER, ORDER = 128, slice(126, 128)  # bytes: the text before the elements, and in it the order of bytes
NUMBERS = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18}  # types of elements: integers, floats, and texts as UTF-8, 16 and 32
MATRIX, COMPRESSED = 14, 15
OPAQUE = 17  # the class of what only MATLAB can use, which has no shape
CONTAINERS = {1, 2, 3, 16, OPAQUE}  # classes of matrices that hold others: cells, structures, objects, functions
FLAGS, SIZES, MOST_SIZES = 6, 5, 32  # a matrix begins with its class and its shape
DEEPEST, LARGEST = 50, 2**31  # matrices in matrices; bytes of a variable, as in MATLAB


def load(path: Path) -> dict[str, Any]:
    """The variables of a file; :class:`ValueError` or what scipy raises for one that is damaged."""
    if scipy_io.matlab.matfile_version(str(path))[0] == 1:  # scipy's number for MATLAB 5 to 7.2
        data = memoryview(path.read_bytes())
        check(data[HEADER:], "little" if bytes(data[ORDER]) == b"IM" else "big")
    found: dict[str, Any] = scipy_io.loadmat(path, struct_as_record=False)
    return found


def check(data: memoryview, order: Any, depth: int = 0) -> None:
    """:class:`ValueError` unless elements lie within each other, and have types that go together."""
    for kind, content in elements(data, order):
        if kind == COMPRESSED and not depth:
            check(memoryview(zlib.decompressobj().decompress(content, LARGEST)), order, 1)
        elif kind == MATRIX and depth < DEEPEST:
            check_matrix(content, order, depth)
        elif kind not in NUMBERS:
            raise ValueError(f"an element of type {kind}")


def check_matrix(data: memoryview, order: Any, depth: int) -> None:
    """A matrix: its class and shape, then numbers, or matrices where its class has such."""
    if not data:  # MATLAB's empty cell
        return
    parts = list(elements(data, order))
    kinds = [kind for kind, _ in parts]
    if kinds[0] != FLAGS or len(parts[0][1]) != 8:
        raise ValueError("a matrix without a class")
    number = int.from_bytes(parts[0][1][:4], order) & 255
    if number != OPAQUE and (kinds[1:2] != [SIZES] or len(parts[1][1]) > 4 * MOST_SIZES):
        raise ValueError("a matrix without a shape")
    if MATRIX in kinds and number not in CONTAINERS:
        raise ValueError(f"matrices in one of class {number}")
    check(data, order, depth + 1)


def elements(data: memoryview, order: Any) -> Iterator[tuple[int, memoryview]]:
    """Type and content of each element. A small one has its size in the upper half of its type, and its content where others have it."""
    place = 0
    while place < len(data):
        first, size = (int.from_bytes(data[place + half : place + half + 4], order) for half in (0, 4))
        kind, small = first & 0xFFFF, first >> 16
        start, size = (place + 4, small) if small else (place + 8, size)
        if start + size > len(data) or small > 4:
            raise ValueError("it ends within an element")
        yield kind, data[start : start + size]
        place = place + 8 if small else start + size if kind == COMPRESSED else start + -(-size // 8) * 8
