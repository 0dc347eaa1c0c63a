"""All faults, a share of them, and the table of what came out."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from random import Random

import pandas as pd
import torch

from regen_lib.core.storage import write_table
from regen_lib.study.report.pages import insert
from regen_lib.study.stage import replace
from tests.faults.fault import HELD, Fault, Verdict
from tests.repository import REPOSITORY

# a module each, with ``faults(rng) -> Iterator[Fault]``, in which ``rng`` draws what is drawn
CLASSES = (
    "artifacts",
    "weights",
    "names",
    "tables",
    "notebooks",
    "full_disk",
    "resuming",
    "limits",
    "concurrency",
    "environments",
    "pictures",
    "mutated",
    "killed",
)
NEEDS = {"pictures": "images", "mutated": "parameters", "killed": "kills"}  # where the variants of a class are made, if not in its module
TABLE, PAGE = REPOSITORY / "tests/faults/table.csv", REPOSITORY / "docs/faults.md"


def settle() -> None:
    """What an attempt's process inherits: one thread, a CPU, Triton's interpreter."""
    os.environ |= {"OMP_NUM_THREADS": "1", "TRITON_INTERPRET": "1", "MPLBACKEND": "agg", "CUDA_VISIBLE_DEVICES": ""}
    from regen_lib.core import devices
    from regen_lib.core.runtime import start

    devices.best = lambda: torch.device("cpu")
    start(1)


def every(seed: int) -> Iterator[Fault]:
    """Every fault of every class; the places of the damages are drawn from the seed, for each class by itself."""
    for name in CLASSES:
        if find_spec(f"tests.faults.{NEEDS.get(name, name)}"):
            yield from import_module(f"tests.faults.{name}").faults(Random(f"{seed} {name}"))


def share(faults: Sequence[Fault], seconds: float) -> list[Fault]:
    """Some faults of every kind, evenly spread over each, for about so many CPU seconds; the same ones every time."""
    kinds = {fault.kind: [other for other in faults if other.kind == fault.kind] for fault in faults}
    chosen = []
    for of_kind in kinds.values():
        left = seconds / len(kinds)
        dear = left / 4  # cheap ones come first, or one dear one would be all
        for fault in sorted(Random(0).sample(of_kind, len(of_kind)), key=lambda fault: fault.cost > dear):
            if fault.cost <= left:
                chosen.append(fault)
                left -= fault.cost
    return chosen


def table(found: Sequence[tuple[Fault, Verdict]]) -> pd.DataFrame:
    """A row for each kind and one for all: how many were tried, how many of them ended right or were refused, and how many failed."""
    rows = pd.DataFrame([(fault.kind, verdict.outcome) for fault, verdict in found], columns=["kind", "outcome"])
    return totalled(pd.DataFrame([row(str(kind), group) for kind, group in rows.groupby("kind").outcome]))


def totalled(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of kinds, and one for all of them."""
    return pd.concat([rows, pd.DataFrame([{"kind": "all", **rows.drop(columns="kind").sum()}])], ignore_index=True)


def row(kind: str, outcomes: "pd.Series[str]") -> dict[str, object]:
    """One row of the table."""
    counts = {outcome: int((outcomes == outcome).sum()) for outcome in HELD}
    held = sum(counts.values())
    return {"kind": kind, "tried": len(outcomes), "held": held, **counts, "failed": len(outcomes) - held}


def keep(found: Sequence[tuple[Fault, Verdict]], everything: Sequence[Fault]) -> None:
    """Write the rows of all kinds of which every fault was tried, beside those that earlier runs gave for others."""
    tried, there = (Counter(fault.kind for fault in faults) for faults in ([fault for fault, _ in found], everything))
    whole = [(fault, verdict) for fault, verdict in found if tried[fault.kind] == there[fault.kind]]
    if whole:
        write(merged(pd.read_csv(TABLE) if TABLE.is_file() else table(whole), table(whole)))


def merged(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """A table's rows with newer ones in their place."""
    rows = pd.concat([new, old]).drop_duplicates("kind")
    return totalled(rows[rows.kind != "all"].sort_values("kind"))


def write(rows: pd.DataFrame) -> None:
    """Keep the table: as a file, and in the page of the docs."""
    write_table(TABLE, rows)
    text = PAGE.read_text(encoding="utf-8")
    replace(PAGE, insert(text, "faults", markdown(rows), "tests.faults"))


def markdown(rows: pd.DataFrame) -> str:
    """The table as the docs show it."""
    lines = [f"| {' | '.join(map(str, rows.columns))} |", f"|{'|'.join(['---'] + ['--:'] * (len(rows.columns) - 1))}|"]
    lines += [f"| {' | '.join(map(str, values))} |" for values in rows.itertuples(index=False)]
    return "\n".join(lines)
