"""Images and folders as they come (:mod:`tests.faults.images`), decoded into a set with ``unreadable: drop``."""

import contextlib
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

from PIL import Image

from regen_lib.core.images import load_images
from regen_lib.data.sources import prepare
from tests.faults.fault import Fault, expect
from tests.faults.images import NOT_IMAGES, Write, variants

GOOD = 6  # images that are always there, two of each split: one that cannot be decoded leaves none empty


def good_tree(raw: Path) -> Path:
    """Two classes of three images."""
    for index, name in enumerate("aaabbb"):
        path = raw / "t" / name / f"good{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (index * 50, 9, 9)).save(path)
    return raw / "t"


def decoded() -> tuple[int, str]:
    """How many images are in a set of all that can be decoded, and what was said."""
    options = {"trees": dict.fromkeys(("train", "validation", "test"), "t"), "counts": {"train": 2, "test": None}, "unreadable": "drop"}
    said, target = io.StringIO(), Path("data/images.safetensors")
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        prepare("image_folder", Path("data/raw"), target, validation=2, seed=0, **options)
    return sum(len(split) for split in load_images(target).values()), said.getvalue()


def attempt(write: Write, expected: str, project: Path) -> None:
    """Put something into a tree, and decode all: as many images as there should be, and each that is listed and dropped is named."""
    tree = good_tree(Path("data/raw"))
    write(tree)
    count, said = decoded()
    expect(expected != "refused", "a tree without images was taken")
    expect(count == GOOD + (expected == "decoded"), f"{count} images of {GOOD} good ones, what was added is to be {expected}")
    listed = any((tree / "a").glob("x.[jp]*g"))
    expect("cannot be decoded (" in said or expected == "decoded" or not listed, "dropped without a word")


def pointers(tree: Path) -> None:
    """Nothing but what a checkout without Git LFS leaves."""
    for path in tree.glob("*/*"):
        path.write_bytes(NOT_IMAGES["a pointer of Git LFS"])


def faults(rng: Random) -> Iterator[Fault]:
    """Every variant."""
    for kind, name, write, expected in variants(rng.randrange(2**31)):
        yield Fault("images", f"{kind}: {name}", partial(attempt, write, expected), cost=0.15, bound=30)
    yield Fault("images", "trees: nothing but pointers of Git LFS", partial(attempt, pointers, "refused"), names=".jpg", cost=0.15)
