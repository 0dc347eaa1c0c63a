"""Which images a folder has, and of which class each is; nothing is opened.

A tree is a folder of class folders (their sorted names are the classes, as in torchvision's ``ImageFolder``), or a text file of
lines ``path class`` beside the images, as ILSVRC lists its validation images. The decoded images and the stream use this one listing.
"""

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from regen_lib.core.errors import StudyError
from regen_lib.data.image_file import shown

SUFFIXES = (".jpg", ".jpeg", ".png")
CLASSES = 100_000  # at most
Left = defaultdict[str, list[Path]]  # files that are left out, by the reason


@dataclass(frozen=True)
class Listing:
    """The images of a tree: ``files`` with the class of each, and the ``names`` of all classes."""

    files: tuple[Path, ...]
    classes: tuple[int, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)

    def __add__(self, other: "Listing") -> "Listing":
        return Listing(self.files + other.files, self.classes + other.classes, self.names)

    def pick(self, index: Iterable[int]) -> "Listing":
        """Some of the images, in that order."""
        chosen = list(index)
        return Listing(tuple(self.files[i] for i in chosen), tuple(self.classes[i] for i in chosen), self.names)

    def hash(self) -> str:
        """SHA-256 of the files' names and classes, in order."""
        digest = hashlib.sha256()
        for file, label in zip(self.files, self.classes, strict=True):
            digest.update(os.fsencode(file) + b"\0%d\0" % label)
        return digest.hexdigest()


def listing(tree: Path, names: Sequence[str] | None = None) -> Listing:
    """What is in a tree. ``names`` are the classes it should have, in order; :class:`StudyError` for others, or without images.

    A class without images is reported, and keeps its number; so is what is left out.
    """
    if tree.is_file():
        found = listed(tree)
        names = names or [str(label) for label in range(1 + max((label for _, label in found), default=0))]
    elif tree.is_dir():
        found, names = in_folders(tree, names)
    else:
        raise StudyError(f"{tree} is missing: a folder of class folders, or a list of files, is needed")
    if not found or max(label for _, label in found) >= len(names):
        raise StudyError(f"{tree}: {len(found)} images in {len(names)} classes: is it the right folder, and the right list of classes?")
    if empty := sorted(set(range(len(names))) - {label for _, label in found}):
        print(f"{tree}: {len(empty)} of {len(names)} classes have no image, {names[empty[0]]} for one")
    return Listing(tuple(path for path, _ in found), tuple(label for _, label in found), tuple(names))


def in_folders(tree: Path, names: Sequence[str] | None) -> tuple[list[tuple[Path, int]], Sequence[str]]:
    """The images in class folders with their classes, and the names of all classes. What is left out is printed."""
    left: Left = defaultdict(list)
    folders: list[Path] = []
    for path in seen(tree, left):
        (folders if path.is_dir() else left["beside the class folders"]).append(path)
    names = names or [path.name for path in folders]
    number = {name: index for index, name in enumerate(names)}
    if unknown := [path.name for path in folders if path.name not in number]:
        raise StudyError(f"{tree}: {len(unknown)} folders are no known class, {unknown[0]} for one: compare with the list of classes")
    found = [(path, number[folder.name]) for folder in folders for path in seen(folder, left) if is_image(path, left)]
    for kind, paths in sorted(left.items()):
        print(f"{tree}: {len(paths)} {kind} left out, {shown(paths[0])} for one")
    return found, names


def seen(folder: Path, left: Left) -> list[Path]:
    """What is in a folder, sorted, but for hidden files and what macOS adds to archives; those go to ``left``."""
    kept: list[Path] = []
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".") or path.name == "__MACOSX"
        (left["hidden"] if hidden else kept).append(path)
    return kept


def is_image(path: Path, left: Left) -> bool:
    """Whether a file's name says that it is a JPEG or a PNG; others go to ``left``, by their endings."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        left[suffix or "without an ending"].append(path)
    return suffix in SUFFIXES


def listed(path: Path) -> list[tuple[Path, int]]:
    """The images and classes in a text file; :class:`StudyError` for a line that is not `path class`."""
    try:
        rows = [line.rsplit(maxsplit=1) for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise StudyError(f"{path} is no text: a folder of class folders, or a list of files, is needed") from error
    for row in rows:
        if len(row) != 2 or not (row[1].isascii() and row[1].isdigit() and len(row[1]) < 9 and int(row[1]) < CLASSES):
            raise StudyError(f"{path}: expected lines `path class`, the class as a number from 0, found {shown(Path(' '.join(row)))}")
    for file, _ in rows:
        if Path(file).is_absolute() or ".." in Path(file).parts:
            raise StudyError(f"{path}: {shown(Path(file))} is not beside the list or below: move it there, DVC sees no change elsewhere")
    return [(path.parent / file, int(label)) for file, label in rows]


def class_list(path: Path) -> list[tuple[str, str]]:
    """Folder and name of each class, in the network's order, from JSON: a list of pairs, or an object of label and pair, as Keras's
    ``imagenet_class_index.json`` is. :class:`StudyError` for anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            found = [found[str(label)] for label in range(len(found))]
        pairs = [(folder, name) for folder, name in found]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise StudyError(
            f"{path} is no list of classes ({error}): JSON pairs of folder and name, in the network's order, are needed"
        ) from error
    folders = [folder for folder, _ in pairs]
    if not pairs or len(set(folders)) < len(pairs) or not all(isinstance(word, str) for pair in pairs for word in pair):
        raise StudyError(f"{path} has {len(pairs)} classes in {len(set(folders))} folders: each needs a folder and a name of its own")
    return pairs


def balanced(classes: Sequence[int], rng: torch.Generator) -> list[int]:
    """A random order of images in which every class comes once before any comes twice."""
    count: Counter[int] = Counter()
    ranked = []
    for index in torch.randperm(len(classes), generator=rng).tolist():
        ranked.append((count[classes[index]], index))
        count[classes[index]] += 1
    return [index for _, index in sorted(ranked, key=lambda pair: pair[0])]
