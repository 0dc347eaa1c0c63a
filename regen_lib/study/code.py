"""What each stage of the study is made of, in one small file: the code that it runs and the values that it is given.

The stage ``code`` writes ``data/code/<stage>.json``, on which the stage of that name depends: a hash of the code cells of its
notebook and of each module in its import closure, as syntax trees without docstrings and comments, and the notebook's parameters.
So prose, comments and docstrings run nothing again, a changed line runs what uses it and nothing else, and nobody types a list.
Networks, attacks, defences and readers of weights, which are found by name, count where a stage's parameters name them.
"""

import ast
import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from regen_lib.attacks import ATTACKS
from regen_lib.core.source import digest, hashes, imports, plain
from regen_lib.defenses import RIVALS
from regen_lib.networks import NETWORKS
from regen_lib.study.notebook_file import read_notebook
from regen_lib.study.stage import CODE, Stage, parsed, replace

REPORT = "regen_lib.study.report.readme"  # what `python -m regen_lib.study report` runs
BY_NAME = {"attacks": ATTACKS, "networks": NETWORKS, "defenses": RIVALS}


def write_stamps(params: Mapping[str, Any]) -> None:
    """Write the file of every stage of ./dvc.yaml, and remove those of stages that are no more."""
    made = {}
    for words in commands():
        if stage := parsed(words):
            made[stage.name] = stamp(stage, params)
        elif words[1:4] == ["-m", "regen_lib.study", "report"]:
            made["report"] = {"code": hashes({REPORT}), "parameters": {name: row["built_on"] for name, row in params["rivals"].items()}}
    for path in CODE.glob("*.json"):
        if path.stem not in made:
            path.unlink()
    for name, content in made.items():
        replace(CODE / f"{name}.json", json.dumps(content, indent=1, sort_keys=True) + "\n")


def commands() -> Iterator[list[str]]:
    """The command of every stage of ./dvc.yaml, its ${...} filled in by DVC, in words."""
    here = Path("dvc.yaml").absolute()
    for stage in Repo().index.stages:
        if Path(stage.path) == here and stage.cmd:
            yield shlex.split(stage.cmd)


def stamp(stage: Stage, params: Mapping[str, Any]) -> dict[str, Any]:
    """What a stage is made of: hashes of its notebook and of each module that it uses, and its parameters."""
    values = stage.values(dict(params))
    cells = code_cells(stage.source(dict(params)))
    modules = set().union(*(imports(tree) for tree in cells if isinstance(tree, ast.AST)), named(values))
    shown = "\n".join(tree if isinstance(tree, str) else plain(tree) for tree in cells)
    code = {f"notebooks/{stage.notebook}": digest(shown), **hashes(modules)}
    how = {key: params["study"][key] for key in ("memory_format", "tf32") if key in params["study"]}
    return {"code": code, "parameters": values, **how}


def code_cells(path: Path) -> list[ast.Module | str]:
    """The code cells of a notebook but the one of its parameters: as syntax trees, or as text where they are not plain Python."""
    found: list[ast.Module | str] = []
    for cell in read_notebook(path).cells:
        if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", []):
            try:
                found.append(ast.parse(cell.source))
            except SyntaxError:
                found.append(cell.source)
    return found


def named(value: Any, key: str = "") -> set[str]:
    """The modules of the networks, attacks and defences that a stage's parameters name, as a value or as the key of a row."""
    if isinstance(value, Mapping):
        return set().union(*(named(inner, f"{key} {name}") for name, inner in value.items()), *(named(str(name), key) for name in value))
    if isinstance(value, list | tuple):
        return set().union(*(named(inner, key) for inner in value))
    if key.endswith(" weights"):
        return reader(str(value))
    kind, name = kind_of(key), str(value).rpartition("/")[2]
    return {f"regen_lib.{kind}.{name}"} if kind and name in BY_NAME[kind] else set()


def reader(weights: str) -> set[str]:
    """The module that reads the ``weights`` of a network's recipe."""
    from regen_lib.weights import FORMATS, PUBLISHED  # it waits for torch, and few studies have weights

    found = "published" if weights == PUBLISHED else FORMATS.get(Path(weights).suffix)
    return {f"regen_lib.weights.{found}"} if found else set()


def kind_of(key: str) -> str | None:
    """What a parameter's key says of its names. ``attack`` is an attack; ``attacks`` are banks, which other stages made."""
    last = key.rpartition(" ")[2]
    if last == "attack":
        return "attacks"
    if last.endswith(("network", "networks")):
        return "networks"
    return "defenses" if last.endswith(("defense", "defenses", "rivals", "built_on")) else None
