"""What is known of a source of images before any is read: their shape, and how many there are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regen_lib.core.errors import StudyError
from regen_lib.core.options import Mistake

CROP = 224  # pixels: what is cut out of an image of a folder
FASHION_MNIST = {"train": 60_000, "test": 10_000}  # images


@dataclass(frozen=True)
class Extent:
    """``shape`` ``[C, H, W]`` of the images, and how many each split has; None where only the files can tell."""

    shape: tuple[int, int, int]
    counts: Mapping[str, int | None]


def extent(source: str, validation: int, options: Mapping[str, Any]) -> Extent:
    """The extent of a source of which ``validation`` images are set apart."""
    if source == "fashion_mnist":
        train = FASHION_MNIST["train"] - validation
        return Extent((1, 28, 28), {"train": train, "validation": validation, "test": FASHION_MNIST["test"]})
    counts = {split: options["counts"][split] or None for split in ("train", "test")}
    return Extent((3, CROP, CROP), {**counts, "validation": validation})


def mistakes(source: str, validation: int, options: Mapping[str, Any]) -> Iterator[Mistake]:
    """What is wrong with the options of a source, and with the number of validation images."""
    if source == "fashion_mnist":
        for key, value in options.items():
            yield Mistake(f"options.{key}", value, "fashion_mnist has no such option: remove it")
        if validation >= FASHION_MNIST["train"]:
            yield Mistake(
                "validation", validation, f"some of the {FASHION_MNIST['train']} training images must be left to train on: give less"
            )
        return
    from regen_lib.data.image_folder import ImageFolder

    try:
        ImageFolder.of(Path(), validation, 0, options)
    except StudyError as error:
        yield Mistake("options", ..., str(error))
