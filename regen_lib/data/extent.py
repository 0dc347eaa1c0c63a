"""What is known of a source of images before any is read: their shape, and how many there are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regen_lib.core.errors import StudyError
from regen_lib.core.options import Mistake
from regen_lib.data.image_file import Form
from regen_lib.data.image_folder import ImageFolder

# of published sources: the shape of an image, how many there are to train on and to test on
PUBLISHED = {"fashion_mnist": ((1, 28, 28), 60_000, 10_000), "cifar10": ((3, 32, 32), 50_000, 10_000)}


@dataclass(frozen=True)
class Extent:
    """``shape`` ``[C, H, W]`` of the images, and how many each split has; None where only the files can tell."""

    shape: tuple[int, int, int]
    counts: Mapping[str, int | None]


def extent(source: str, validation: int, options: Mapping[str, Any]) -> Extent:
    """The extent of a source of which ``validation`` images are set apart."""
    if source in PUBLISHED:
        shape, train, test = PUBLISHED[source]
        return Extent(shape, {"train": train - validation, "validation": validation, "test": test})
    counts = {split: options["counts"][split] for split in ("train", "test")}
    side = options.get("crop", Form.crop)
    return Extent((3, side, side), {**counts, "validation": validation})


def mistakes(source: str, validation: int, options: Mapping[str, Any]) -> Iterator[Mistake]:
    """What is wrong with the options of a source, and with the number of validation images."""
    if source in PUBLISHED:
        _, train, _ = PUBLISHED[source]
        for key, value in options.items():
            yield Mistake(f"options.{key}", value, f"{source} has no such option: remove it")
        if validation >= train:
            yield Mistake("validation", validation, f"some of the {train} training images must be left to train on: give less")
        return
    try:
        ImageFolder.of(Path(), validation, 0, options)
    except StudyError as error:
        yield Mistake("options", ..., str(error))
