"""JPEGs on a disk, ILSVRC2012 for one: what is there, one by one, and as a stream to train on.

A tree is a folder of class folders (their sorted names are the classes, as in torchvision's ``ImageFolder``), or a text file of
lines ``path class`` beside the images, as ILSVRC lists its validation images.
"""

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import center_crop, pil_to_tensor, resize

from regen_lib.core import processes
from regen_lib.core.errors import StudyError
from regen_lib.core.images import as_input

WORKERS = os.cpu_count() or 1
SUFFIXES = (".jpg", ".jpeg", ".png")
AHEAD = 2  # batches
SAMPLE = 4  # images
SIDE, CROP = 256, 224  # pixels: the shorter side after resizing, and what is cut out of it


@dataclass(frozen=True)
class Listing:
    """The images of a tree: ``files`` with the class of each, and the ``names`` of all classes."""

    files: tuple[Path, ...]
    classes: tuple[int, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)

    def pick(self, index: Iterable[int]) -> "Listing":
        """Some of the images, in that order."""
        chosen = list(index)
        return Listing(tuple(self.files[i] for i in chosen), tuple(self.classes[i] for i in chosen), self.names)


def listing(tree: Path, names: Sequence[str] | None = None) -> Listing:
    """What is in a tree. ``names`` are the classes it should have, in order; :class:`StudyError` for others, or without images.

    A class without images is reported, and keeps its number.
    """
    if tree.is_file():
        rows = [line.rsplit(maxsplit=1) for line in tree.read_text(encoding="utf-8").splitlines() if line.strip()]
        if any(len(row) != 2 or not row[1].isdigit() for row in rows):
            raise StudyError(f"{tree}: expected lines `path class`, the class as a number from 0")
        found = [(tree.parent / path, int(label)) for path, label in rows]
        names = names or [str(label) for label in range(1 + max((label for _, label in found), default=0))]
    else:
        if not tree.is_dir():
            raise StudyError(f"{tree} is missing: a folder of class folders, or a list of files, is needed")
        folders = sorted(path.name for path in tree.iterdir() if path.is_dir())
        names = names or folders
        if unknown := sorted(set(folders) - set(names)):
            raise StudyError(f"{tree}: {len(unknown)} folders are no known class, {unknown[0]} for one: compare with the list of classes")
        number = {name: index for index, name in enumerate(names)}
        found = [(path, number[name]) for name in folders for path in sorted((tree / name).iterdir()) if path.suffix.lower() in SUFFIXES]
    if not found or max(label for _, label in found) >= len(names):
        raise StudyError(f"{tree}: {len(found)} images in {len(names)} classes: is it the right folder, and the right list of classes?")
    if empty := len(names) - len({label for _, label in found}):
        print(f"{tree}: {empty} of {len(names)} classes have no image")
    return Listing(tuple(path for path, _ in found), tuple(label for _, label in found), tuple(names))


def balanced(classes: Sequence[int], rng: torch.Generator) -> list[int]:
    """A random order of images in which every class comes once before any comes twice."""
    seen: Counter[int] = Counter()
    ranked = []
    for index in torch.randperm(len(classes), generator=rng).tolist():
        ranked.append((seen[classes[index]], index))
        seen[classes[index]] += 1
    return [index for _, index in sorted(ranked, key=lambda pair: pair[0])]


def decode(path: Path, *, square: bool) -> tuple[Tensor, str]:
    """An image as uint8 ``[3, 256, W]`` or ``[3, H, 256]``, RGB, and the mode it was stored in.

    The shorter side becomes 256 pixels (``square``: both do, the aspect ignored, as the authors do for CaffeNet and GoogLeNet).
    :class:`StudyError` names a file that is no image.
    """
    try:
        with Image.open(path) as image:
            mode, pixels = image.mode, pil_to_tensor(image.convert("RGB"))
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise StudyError(f"{path} cannot be decoded ({error})") from error
    size = [SIDE, SIDE] if square else [SIDE]
    small: Tensor = resize(pixels, size, interpolation=InterpolationMode.BILINEAR, antialias=True)
    return small, mode


class Streamed:
    """The images of a tree for training: each decoded, cropped and mirrored at random when its turn comes."""

    def __init__(self, tree: Path, found: Listing | None = None) -> None:
        self.tree, self.found = tree, found or listing(tree)
        self.labels = torch.tensor(self.found.classes)
        self.pool = ThreadPoolExecutor(WORKERS)

    def __len__(self) -> int:
        return len(self.found)

    @property
    def pixels(self) -> Tensor:
        """The first few images, uint8 ``[n, 3, 224, 224]``, their centres: what a training looks at before it begins."""
        return torch.stack([center_crop(decode(file, square=False)[0], [CROP, CROP]) for file in self.found.files[:SAMPLE]])

    def first(self, count: int) -> "Streamed":
        """The first ``count`` images; :class:`StudyError` where there are fewer."""
        if count > len(self):
            raise StudyError(f"{self.tree}: {count} images asked for, {len(self)} are there: ask for at most {len(self)}")
        return Streamed(self.tree, self.found.pick(range(count)))

    def batches(self, chunks: Iterable[Tensor], rng: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Network input and labels, as :meth:`regen_lib.core.images.Images.batches`; a bad file is named.

        While one batch is worked on, the next ``AHEAD`` are being decoded.
        """
        waiting: deque[tuple[Iterator[Tensor], Tensor]] = deque()
        for index in chunks:
            draws = processes.part(torch.rand(len(index), 3, generator=rng))
            index = processes.part(index)
            waiting.append((self.pool.map(random_crop, [self.found.files[i] for i in index.tolist()], draws.tolist()), index))
            if len(waiting) > AHEAD:
                yield self.finished(*waiting.popleft())
        while waiting:
            yield self.finished(*waiting.popleft())

    def finished(self, cut: Iterator[Tensor], index: Tensor) -> tuple[Tensor, Tensor]:
        """A batch whose images have been decoded, or are waited for."""
        return as_input(torch.stack(list(cut))), self.labels[index]


def random_crop(path: Path, draws: Sequence[float]) -> Tensor:
    """An image as uint8 ``[3, 224, 224]``: cut out where two of the three ``draws`` in [0, 1) say, mirrored where the third does."""
    pixels, _ = decode(path, square=False)
    top, left = (int(draw * (side - CROP + 1)) for draw, side in zip(draws, pixels.shape[1:], strict=False))
    cut = pixels[:, top : top + CROP, left : left + CROP]
    return cut.flip(2) if draws[2] < 0.5 else cut
