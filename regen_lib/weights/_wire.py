"""Protocol buffers by their wire format, as nothing else here needs more of them."""

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
LONGEST = 10  # bytes of a number: seven of its 64 bits in each
MOST = 200_000  # fields and packed numbers of a file: the released networks have some thousands


class Wire:
    """A reader of one file's messages, which refuses a file of endless small fields soon."""

    def __init__(self) -> None:
        self.left = MOST

    def fields(self, data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
        """The (number, value) pairs of a message; values are integers, or the bytes of what is longer."""
        place = 0
        while place < len(data):
            key, place = self.number(data, place)
            number, kind = key >> 3, key & 7
            if kind == VARINT:
                value, place = self.number(data, place)
                yield number, value
                continue
            if kind == BYTES:
                size, place = self.number(data, place)
            elif kind in (FIXED32, FIXED64):
                size = 4 if kind == FIXED32 else 8
            else:
                raise ValueError(f"wire type {kind}: no protocol buffer")
            if place + size > len(data):
                raise ValueError("it ends within a field")
            yield number, data[place : place + size]
            place += size

    def numbers(self, data: memoryview) -> Iterator[int]:
        """Integers, packed one after the other."""
        place = 0
        while place < len(data):
            value, place = self.number(data, place)
            yield value

    def number(self, data: memoryview, place: int) -> tuple[int, int]:
        """An integer of seven bits a byte, and where it ends."""
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"more than {MOST:,} fields: no network has")
        value = 0
        for index, byte in enumerate(data[place : place + LONGEST]):
            value |= (byte & 127) << 7 * index
            if byte < 128:
                return value, place + index + 1
        raise ValueError("a number does not end")
