"""One JPEG or PNG: what is read of a file, and how it becomes pixels.

A file may be anything, whatever its name: what cannot be an image of the study ends in an :class:`UndecodableError` that names it, before
it can take much memory or time.
"""

import errno
import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import pil_to_tensor, resize

from regen_lib.core.errors import StudyError

WORKERS = os.cpu_count() or 1  # threads that decode
FORMATS = ("JPEG", "PNG")  # by content
BYTES = 2**26  # of a file
PIXELS = 89_478_485  # of an image: Pillow's own limit, at which it only warns
LASTING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)  # errors of a file, not of a disk
ASPECT = 100  # of the longer side to the shorter, which is scaled to Form.side


class UndecodableError(StudyError):
    """A file that is no image for the study, today or tomorrow: what ``unreadable: drop`` drops."""


@dataclass(frozen=True)
class Form:
    """How images are brought to one size.

    The shorter side becomes ``side`` pixels (``square``: both do, the aspect ignored, as the authors do for CaffeNet and
    GoogLeNet); an image of that size stays as it is. Then a square of ``crop`` pixels is cut out, its centre unless a training draws
    another. ``rotate`` turns an image as its EXIF orientation says; torchvision does not.
    """

    side: int = 256
    crop: int = 224
    square: bool = False
    rotate: bool = False

    def __post_init__(self) -> None:
        if type(self.crop) is not int or self.crop < 1:
            raise StudyError(f"images.options.crop {self.crop!r}: give the pixels of a side of the images, 1 or more")
        if type(self.side) is not int or self.side < self.crop:
            raise StudyError(
                f"images.options.side {self.side!r}: {self.crop} x {self.crop} pixels are cut out, so choose at least {self.crop}"
            )
        for key, value in (("square", self.square), ("rotate", self.rotate)):
            if not isinstance(value, bool):
                raise StudyError(f"images.options.{key} {value!r}: choose true or false")

    @property
    def bytes(self) -> int:
        """Of an image's pixels."""
        return 3 * self.crop * self.crop

    def scaled(self, pixels: Tensor) -> Tensor:
        """``pixels`` ``[3, H, W]`` at their size."""
        size = [self.side, self.side] if self.square else [self.side]
        scaled: Tensor = resize(pixels, size, interpolation=InterpolationMode.BILINEAR, antialias=True)
        return scaled


def decode(path: Path, form: Form) -> tuple[Tensor, str]:
    """The image in a file as uint8 ``[3, side, W]`` or ``[3, H, side]``, RGB, and the mode it was stored in.

    :class:`UndecodableError` names a file that cannot be read, is no JPEG or PNG, or is too large, too long or too narrow.
    """
    return pixels(read(path), path, form)


def read(path: Path) -> bytes:
    """A file's bytes; :class:`UndecodableError` for what is no regular file or too large, without waiting on a pipe.

    :class:`StudyError` where the disk fails, or too many files are open: that says nothing about the image.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("no regular file")
        if status.st_size > BYTES:
            raise ValueError(f"{status.st_size:,} bytes, at most {BYTES:,} are read")
        return path.read_bytes()
    except OSError as error:
        if error.errno not in LASTING:
            raise StudyError(f"{shown(path)} cannot be read now ({error.strerror}): run it again, it goes on from here") from error
        raise undecodable(path, error.strerror or "no such file") from error
    except ValueError as error:  # the two above, and a null in a name
        raise undecodable(path, str(error)) from error


def pixels(data: bytes, path: Path, form: Form) -> tuple[Tensor, str]:
    """:func:`decode` for the bytes of the file ``path``."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            check_size(*image.size)
            return form.scaled(rgb(ImageOps.exif_transpose(image) if form.rotate else image)), image.mode
    except UnidentifiedImageError as error:
        raise undecodable(path, "neither JPEG nor PNG, or damaged from its beginning") from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers of damaged files raise errors of any kind
        raise undecodable(path, str(error) or type(error).__name__) from error


def check_size(width: int, height: int) -> None:
    """:class:`StudyError` for a decompression bomb, and for a strip that would be one when its shorter side is scaled."""
    if width * height > PIXELS:
        raise StudyError(f"{width} x {height} pixels, at most {PIXELS:,} are decoded")
    if max(width, height) > ASPECT * min(width, height):
        raise StudyError(f"{width} x {height} pixels, at most {ASPECT} times as long as wide are decoded")


def rgb(image: Image.Image) -> Tensor:
    """Any image of Pillow's as uint8 ``[3, H, W]``. Of 16 bits the upper 8 are kept; alpha is left out, as torchvision does."""
    if image.mode.startswith("I"):  # Pillow itself would clip 16 bits to white
        return torch.from_numpy((np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)).expand(3, -1, -1)
    if "transparency" in image.info:
        image = image.convert("RGBA")
    found: Tensor = pil_to_tensor(image.convert("RGB"))
    return found


def undecodable(path: Path, reason: str) -> UndecodableError:
    """The error that names a file and says what is wrong with it."""
    return UndecodableError(f"{shown(path)} cannot be decoded ({reason})")


def shown(path: Path) -> str:
    """A path that can be printed, whatever bytes its name has."""
    return repr(os.fsencode(path).decode(errors="backslashreplace"))[1:-1]
