"""A notebook of the study, damaged, and read by what runs it as a stage and by what looks at its code."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from regen_lib.study.code import code_cells
from regen_lib.study.stage import notebook_parameters
from tests.faults.damages import OVERWRITTEN, Spoil, rewritten, truncations
from tests.faults.fault import Fault, expect
from tests.repository import REPOSITORY

NAME = "01_filter_norms.ipynb"
WHOLE = REPOSITORY / "notebooks" / NAME
MERGES = 8  # places of the marks of a merge, drawn
DEEP = 100_000  # brackets


def used(path: Path) -> object:
    """What a stage is given, and the code that it runs."""
    return notebook_parameters(path), [tree if isinstance(tree, str) else len(tree.body) for tree in code_cells(path)]


def attempt(spoil: Spoil, project: Path) -> None:
    """Damage a notebook and read it."""
    path = Path(shutil.copy(WHOLE, NAME))
    spoil(path)
    expect(used(path) == used(WHOLE), "another notebook, and nothing said")


def merge(data: bytes, part: float) -> bytes:
    """The marks of a merge, at a part of the file's lines."""
    lines = data.splitlines(keepends=True)
    place = int(part * len(lines))
    return b"".join([*lines[:place], b"<<<<<<< ours\n", *lines[place : place + 2], b"=======\n>>>>>>> theirs\n", *lines[place + 2 :]])


def changed(change: Callable[[Any], object]) -> Spoil:
    """A notebook whose JSON is whole, and says something else."""

    def spoil(path: Path) -> None:
        content = json.loads(path.read_bytes())
        change(content)
        path.write_text(json.dumps(content), encoding="utf-8")

    return spoil


def parameters(source: str) -> Spoil:
    """Another cell of parameters."""
    return changed(lambda content: content["cells"][1].update(source=source))


CONTENTS: dict[str, Spoil] = {
    "no cells": changed(lambda content: content.pop("cells")),
    "cells are a number": changed(lambda content: content.update(cells=5)),
    "a cell is a text": changed(lambda content: content["cells"].insert(1, "x")),
    "a cell without code": changed(lambda content: content["cells"][1].pop("source")),
    "code is a number": changed(lambda content: content["cells"][1].update(source=7)),
    "tags are a number": changed(lambda content: content["cells"][1]["metadata"].update(tags=1)),
    "metadata are a list": changed(lambda content: content["cells"][1].update(metadata=[])),
    "no version": changed(lambda content: content.pop("nbformat")),
    "version 99": changed(lambda content: content.update(nbformat=99)),
    "parameters twice": changed(lambda content: content["cells"].insert(1, content["cells"][1])),
    "parameters that call": parameters("seed: int = int('0')"),
    "parameters that refer": parameters("seed = 0\nother = seed"),
    "parameters that are open": parameters("seed = ["),
    "parameters with a null byte": parameters("seed = 0\0"),
    "parameters nested deep": parameters(f"seed = {'(' * DEEP}0{')' * DEEP}"),
    "JSON nested deep": lambda path: path.write_text("[" * DEEP),
    "a list": lambda path: path.write_text("[]"),
    "null": lambda path: path.write_text("null"),
    "no UTF-8": rewritten(lambda data: data.replace(b"seed", b"s\xe9ed", 1)),
}


def faults(rng: Random) -> Iterator[Fault]:
    """Every damage."""
    merges = {f"a merge at {part:.0%}": rewritten(partial(merge, part=part)) for part in sorted(rng.random() for _ in range(MERGES))}
    for name, spoil in (truncations() | OVERWRITTEN | CONTENTS | merges).items():
        yield Fault("notebooks", name, partial(attempt, spoil), names=NAME, cost=0.1)
