"""Folders of JPEGs and PNGs, ILSVRC2012 for one: which images are decoded once, which are streamed to train on."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from regen_lib.core.errors import StudyError
from regen_lib.core.seeding import generator
from regen_lib.data.image_file import Form
from regen_lib.data.listing import Listing, balanced, class_list, listing

NEEDED = ("train", "validation", "test")
SPLITS = (*NEEDED, "others")  # others: images of classes that no training image has
FORM = tuple(each.name for each in fields(Form))
OPTIONS = ("trees", "counts", "classes", "unreadable", *FORM)


@dataclass(frozen=True)
class ImageFolder:
    """The images below ``raw``, and what of them is used.

    ``trees`` says where below ``raw`` each of the splits ``train``, ``validation``, ``test`` and perhaps ``others`` comes from,
    ``counts`` how many images all but ``validation`` get (None: all that are left). Splits of one tree share no image; each has
    the classes as evenly as can be. ``classes`` names a JSON file of (folder, name) pairs in the network's order; the folders
    there may be some of them. A file that cannot be decoded is named: ``unreadable`` = stop ends with an error, drop goes on
    without it.
    """

    raw: Path
    validation: int
    seed: int
    trees: Mapping[str, str]
    counts: Mapping[str, int | None]
    classes: str | None = None
    unreadable: Literal["stop", "drop"] = "stop"
    form: Form = field(default_factory=Form)

    def __post_init__(self) -> None:
        for key, given, expected in (("trees", self.trees, NEEDED), ("counts", self.counts, ("train", "test"))):
            if not isinstance(given, Mapping) or set(given) - {"others"} != set(expected):
                raise StudyError(f"images.options.{key} is {given}: give {', '.join(expected)}")
        for split, count in {**self.counts, "validation": self.validation}.items():
            if count is not None and (type(count) is not int or count < 1):
                raise StudyError(f"images: {count!r} images as {split}: give 1 or more, or null for all that are left")
        for below in (*self.trees.values(), *([self.classes] if self.classes is not None else [])):
            if not isinstance(below, str) or Path(below).is_absolute() or ".." in Path(below).parts:
                raise StudyError(f"images.options: {below!r} is not below images.raw, of which DVC sees each change: move it there")
        if self.unreadable not in ("stop", "drop"):
            raise StudyError(f"images.options.unreadable {self.unreadable!r}: choose stop or drop")

    @classmethod
    def of(cls, raw: Path, validation: int, seed: int, options: Mapping[str, Any]) -> "ImageFolder":
        """With images.options of params.yaml; :class:`StudyError` for a key that is unknown or missing."""
        if unknown := sorted(set(options) - set(OPTIONS)):
            raise StudyError(f"images.options has no {unknown[0]!r}: choose from {', '.join(OPTIONS)}")
        if missing := sorted({"trees", "counts"} - set(options)):
            raise StudyError(f"images.options.{missing[0]} is missing: say which tree and how many images each split gets")
        form = Form(**{key: value for key, value in options.items() if key in FORM})
        return cls(raw, validation, seed, **{key: value for key, value in options.items() if key not in FORM}, form=form)

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> "ImageFolder":
        """From what :meth:`record` gave."""
        return cls(**{**kept, "raw": Path(kept["raw"]), "form": Form(**kept["form"])})

    def record(self) -> dict[str, Any]:
        """Everything that it is made of, for a file's metadata."""
        return {**asdict(self), "raw": str(self.raw)}

    def class_names(self, found: Listing) -> tuple[str, ...]:
        """The names of the classes in the order of labels."""
        return tuple(name for _, name in class_list(self.raw / self.classes)) if self.classes else found.names

    def plan(self) -> dict[str, Listing]:
        """Which images each split gets, and as ``stream`` all that are left to train on; :class:`StudyError` where a tree has too few."""
        known = [folder for folder, _ in class_list(self.raw / self.classes)] if self.classes else None
        counts = {**self.counts, "validation": self.validation}
        trees = {split: Path(tree).as_posix() for split, tree in self.trees.items()}  # `images` and `./images/` are one
        left: dict[str, Listing] = {}
        plan: dict[str, Listing] = {}
        for split in (split for split in SPLITS if split in trees):
            tree = trees[split]
            if tree not in left:
                left[tree] = (found := listing(self.raw / tree, known)).pick(balanced(found.classes, generator(self.seed, tree)))
            asked = counts.get(split)
            count = len(left[tree]) if asked is None else asked
            if count > len(left[tree]) or not count:
                raise StudyError(f"{self.raw / tree}: {count} images asked for as {split}, {len(left[tree])} are left: lower the counts")
            plan[split], left[tree] = left[tree].pick(range(count)), left[tree].pick(range(count, len(left[tree])))
        only_once(plan, left)
        return {**plan, "stream": plan["train"] + left[trees["train"]]}


def only_once(plan: Mapping[str, Listing], left: Mapping[str, Listing]) -> None:
    """:class:`StudyError` for a file that two trees have, or that a list names twice: what is tested on must not be trained on."""
    every = [file for found in (*plan.values(), *left.values()) for file in found.files]
    if len(set(every)) < len(every):
        twice, times = Counter(every).most_common(1)[0]
        raise StudyError(f"{twice} is {times} times among the images of {', '.join(plan)}: give trees and lists that share no file")
