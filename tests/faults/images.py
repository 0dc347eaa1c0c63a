"""Images and folders as they come: what a tree of class folders may hold, and what is to become of it."""

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np
from PIL import Image

Write = Callable[[Path], object]
Expected = Literal["decoded", "dropped", "refused"]
Variant = tuple[str, str, Write, Expected]
FOLDER = "a"  # of the tree's classes, the one that things are put into
MODES = {"JPEG": ("L", "RGB", "CMYK"), "PNG": ("1", "L", "LA", "P", "RGB", "RGBA")}
OTHERS = ("BMP", "DIB", "GIF", "ICO", "JPEG2000", "PCX", "PDF", "PPM", "SGI", "SPIDER", "TGA", "TIFF", "WEBP", "XBM")
ENDINGS = (".jpg", ".JPG", ".jpeg", ".JPEG", ".JpEg", ".png", ".PNG")
LEFT_OUT = (".webp", ".bmp", ".gif", ".tif", ".jfif", ".jpg.part", ".jpg~", ".txt", ".db", "")
STEMS = (
    "two words",
    "line\nbreak",
    "tab\t",
    "-rf",
    "é",
    "中文",
    "🐟",
    "a" * 240,
    "%s{0}",
    "'quoted\"",
    "\\back",
    "$HOME",
    "*",
    os.fsdecode(b"\xff\xfe"),
)
SIZES = ((1, 1), (1, 2), (1, 100), (100, 1), (7, 500), (223, 224), (224, 224), (1024, 33))
NOT_IMAGES = {
    "empty": b"",
    "one byte": b"\xff",
    "zeros": bytes(5000),
    "HTML": b"<!DOCTYPE html><html><body>404</body></html>",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(evil) run\n%%EOF\n",
    "zip": b"PK\x03\x04" + bytes(100),
    "pickle": b"\x80\x04\x8c\x02os\x94\x8c\x06system\x93.",
    "only a JPEG's marker": b"\xff\xd8\xff",
    "only a PNG's signature": b"\x89PNG\r\n\x1a\n",
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
}
LISTS = {
    "no class": "a/0.jpg\n",
    "class below 0": "a/0.jpg -1\n",
    "class by name": "a/0.jpg cat\n",
    "a huge class": "a/0.jpg 999999999999\n",
} | {
    "superscript class": "a/0.jpg ²\n",
    "no lines": "",
    "binary": "\0\1\2 x\n",
}


def variants(seed: int = 0) -> Iterator[Variant]:
    """Kind, name, and a function that changes a tree ``<tree>/a/*.jpg, <tree>/b/*.jpg`` of good images; then what is to become of it:
    what was put there is ``decoded``, or it is ``dropped`` and all else decoded, or the tree is ``refused``."""
    rng = Random(seed)
    for kind in (stored, named, sized, oriented, sixteen_bits, appended, other_formats, damaged, bombs, special, hidden, left_out, trees):
        for name, write, expected in kind(rng):
            yield kind.__name__.replace("_", " "), name, write, expected


Found = Iterator[tuple[str, Write, Expected]]


def noise(rng: Random, width: int = 40, height: int = 30, mode: str = "RGB") -> Image.Image:
    """An image of random pixels."""
    values = np.frombuffer(rng.randbytes(width * height * 4), np.uint8).reshape(height, width, 4)
    return Image.fromarray(values).convert("RGB").convert(mode)


def encoded(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    """An image as a file's bytes."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def added(name: str, data: bytes) -> Write:
    """A file in a class folder."""
    return lambda tree: (tree / FOLDER / name).write_bytes(data)


def png(width: int, height: int, rows: bytes, depth: int = 1, color: int = 0) -> bytes:
    """A PNG of filtered ``rows``, which may be fewer than its header says."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def stored(rng: Random) -> Found:
    """Every mode that the two formats have, and ways to write them."""
    for form, modes in MODES.items():
        for mode in modes:
            for ending in (".JPEG", ".png"):
                yield f"{form} {mode} as {ending}", added(f"x{ending}", encoded(noise(rng, mode=mode), form)), "decoded"
    for options in (
        {"progressive": True},
        {"optimize": True},
        {"subsampling": 0},
        {"subsampling": 2},
        {"quality": 1},
        {"restart_marker_rows": 1},
    ):
        yield f"JPEG {options}", added("x.jpg", encoded(noise(rng), **options)), "decoded"
    for transparency in (bytes(range(256)), 3):
        yield (
            f"palette, transparent {transparency!r:.9}",
            added("x.png", encoded(noise(rng, mode="P"), "PNG", transparency=transparency)),
            "decoded",
        )
    yield "transparent color", added("x.png", encoded(noise(rng), "PNG", transparency=(1, 2, 3))), "decoded"
    for form in ("MPO", "PNG"):
        yield f"two frames, {form}", added("x.jpg", encoded(noise(rng), form, save_all=True, append_images=[noise(rng)])), "decoded"


def named(rng: Random) -> Found:
    """Names that are unusual, of good images."""
    for ending in ENDINGS:
        yield ending, added(f"x{ending}", encoded(noise(rng))), "decoded"
    for stem in STEMS:
        yield repr(stem)[:30], added(f"{stem}.jpg", encoded(noise(rng))), "decoded"


def sized(rng: Random) -> Found:
    """Small, long and narrow ones, to a hundred times as long as wide."""
    for width, height in SIZES:
        for form in MODES:
            yield f"{form} {width} x {height}", added("x.jpg", encoded(noise(rng, width, height), form)), "decoded"


def oriented(rng: Random) -> Found:
    """EXIF orientations, the two that are none included."""
    for orientation in (*range(10), 65535):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"EXIF orientation {orientation}", added("x.jpg", encoded(noise(rng), exif=exif)), "decoded"
    yield "broken EXIF", added("x.jpg", encoded(noise(rng), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")), "decoded"


def sixteen_bits(rng: Random) -> Found:
    """PNGs of 16 bits a channel."""
    for color, channels in ((0, 1), (2, 3), (4, 2), (6, 4)):
        rows = b"".join(b"\0" + rng.randbytes(40 * channels * 2) for _ in range(30))
        yield f"{channels} channels of 16 bits", added("x.png", png(40, 30, rows, 16, color)), "decoded"


def appended(rng: Random) -> Found:
    """Files that go on after the image."""
    for form in MODES:
        for extra in (b"\0" * 100, b"garbage", encoded(noise(rng), form)):
            yield f"{form} and {len(extra)} bytes", added("x.jpg", encoded(noise(rng), form) + extra), "decoded"


def other_formats(rng: Random) -> Found:
    """Files of other kinds by the name of a JPEG."""
    for form in OTHERS:
        mode = {"XBM": "1", "SPIDER": "F"}.get(form, "RGB")
        yield form, added("x.jpg", encoded(noise(rng, mode="L").convert(mode) if mode != "RGB" else noise(rng), form)), "dropped"
    for mode in ("F", "I", "I;16"):
        array = np.linspace(0, 1, 1200, dtype=np.float32).reshape(30, 40)
        values = {"F": array, "I": (array * 9e8).astype(np.int32), "I;16": (array * 65535).astype(np.uint16)}[mode]
        yield f"TIFF {mode}", added("x.jpg", encoded(Image.fromarray(values), "TIFF")), "dropped"
    for name, data in NOT_IMAGES.items():
        for ending in (".jpg", ".png"):
            yield f"{name} as {ending}", added(f"x{ending}", data), "dropped"
    for number in range(5):
        yield f"random bytes {number}", added("x.jpg", rng.randbytes(3000)), "dropped"


def damaged(rng: Random) -> Found:
    """Good files cut short, or with what checksums find."""
    for form in MODES:
        for part in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9):
            data = encoded(noise(rng, 90, 80), form)
            yield f"{form} cut at {part:.0%}", added("x.jpg", data[: int(len(data) * part)]), "dropped"
    for number in range(8):
        data = bytearray(encoded(noise(rng, 90, 80), "PNG"))
        data[rng.randrange(60, len(data) - 30)] ^= 1 << rng.randrange(8)
        yield f"PNG with a flipped bit {number}", added("x.png", bytes(data)), "dropped"


def bombs(_rng: Random) -> Found:
    """Small files of huge images, and strips that would be huge when scaled."""
    yield "14,000 x 14,000", added("x.png", png(14_000, 14_000, bytes(1751 * 14_000))), "dropped"
    yield "10,000 x 9,000", added("x.png", png(10_000, 9_000, bytes(1251 * 9_000))), "dropped"
    for width, height in ((2**31 - 1, 2**31 - 1), (65_535, 65_535), (0, 0), (0, 10)):
        yield f"{width} x {height} in its header", added("x.png", png(width, height, b"")), "dropped"
    for width, height in ((65_500, 1), (1, 65_500), (16_000, 100), (1, 101), (202, 2)):
        for form in MODES:
            yield f"{form} {width} x {height}", added("x.jpg", encoded(Image.new("L", (width, height)), form)), "dropped"


def special(rng: Random) -> Found:
    """What has an image's name and is no file."""

    def pipe(tree: Path) -> None:
        os.mkfifo(tree / FOLDER / "x.jpg")

    def bound(tree: Path) -> None:
        here = os.getcwd()
        os.chdir(tree / FOLDER)  # a socket's name is short
        try:
            with socket.socket(socket.AF_UNIX) as it:
                it.bind("x.jpg")
        finally:
            os.chdir(here)

    def sparse(tree: Path) -> None:
        with (tree / FOLDER / "x.jpg").open("wb") as file:
            file.truncate(2**33)

    yield "pipe", pipe, "dropped"
    yield "socket", bound, "dropped"
    yield "8 GB of nothing", sparse, "dropped"
    yield "folder", lambda tree: (tree / FOLDER / "x.jpg").mkdir(), "dropped"
    for name, to in (
        ("link to nothing", "none"),
        ("link to itself", "x.jpg"),
        ("link to a folder", "../b"),
        ("link to a device", "/dev/zero"),
    ):
        yield name, lambda tree, to=to: (tree / FOLDER / "x.jpg").symlink_to(to), "dropped"  # type: ignore[misc]
    data = encoded(noise(rng))
    yield "link to an image", lambda tree: (tree / FOLDER / "x.jpg").symlink_to((added(".x", data)(tree), "../a/.x")[1]), "decoded"


def hidden(rng: Random) -> Found:
    """What file managers, notebooks and archives leave, beside images and beside classes."""
    data = encoded(noise(rng))
    for name in ("._x.JPEG", ".x.jpg", ".DS_Store", ".hidden.png"):
        yield name, added(name, data), "dropped"
    for name in (".ipynb_checkpoints", "__MACOSX", ".git", ".Trash-0"):
        for place in (".", FOLDER):

            def folder(tree: Path, where: str = f"{place}/{name}") -> None:
                (tree / where).mkdir()
                (tree / where / "x.jpg").write_bytes(data)

            yield f"{name} in {place}", folder, "dropped"


def left_out(rng: Random) -> Found:
    """Names that are no JPEG's or PNG's, and images in the wrong places."""
    data = encoded(noise(rng))
    for ending in LEFT_OUT:
        yield f"x{ending}", added(f"x{ending}", data), "dropped"
    yield "an image beside the classes", lambda tree: (tree / "x.jpg").write_bytes(data), "dropped"
    yield "an empty class", lambda tree: (tree / "c").mkdir(), "dropped"

    def deeper(tree: Path) -> None:
        (tree / FOLDER / "deeper").mkdir()
        (tree / FOLDER / "deeper/x.jpg").write_bytes(data)

    yield "images a folder deeper", deeper, "dropped"


def trees(_rng: Random) -> Found:
    """No tree at all."""

    def replaced(make: Callable[[Path], object]) -> Write:
        def write(tree: Path) -> None:
            tree.rename(tree.with_name("moved"))
            make(tree)

        return write

    def emptied(tree: Path) -> None:
        for path in tree.glob("*/*"):
            path.unlink()

    yield "missing", replaced(lambda _tree: None), "refused"
    yield "empty", replaced(lambda tree: tree.mkdir()), "refused"
    yield "a link to nothing", replaced(lambda tree: tree.symlink_to("none")), "refused"
    yield "a pipe", replaced(os.mkfifo), "refused"
    yield "an image", replaced(lambda tree: tree.write_bytes(encoded(Image.new("L", (30, 30))))), "refused"
    yield "classes without images", emptied, "refused"
    for name, text in LISTS.items():
        yield f"a list, {name}", replaced(lambda tree, text=text: tree.write_text(text)), "refused"  # type: ignore[misc]
