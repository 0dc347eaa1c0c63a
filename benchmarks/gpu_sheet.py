"""What docs/speed.md says of the kernels and loops as timed on a GPU, from the tables that were written there, as far as they are there."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

Row = Mapping[Any, Any]
KERNELS, LOOPS = "kernels_gpu.csv", "loops_gpu.csv"
FORMS = ("kernel", "eager", "compiled")
MACHINE = ["card", "driver", "torch", "triton", "python"]
WITHOUT = "training step of the units"  # the loop in which no kernel ran


def block(results: Path) -> str:
    """Both tables, folded, each under its card, and what they say; a sentence where neither has been measured."""
    makers = {KERNELS: kernels, LOOPS: loops}
    versions = dict.fromkeys(MACHINE, str)
    parts = [make(pd.read_csv(results / name, dtype=versions)) for name, make in makers.items() if (results / name).is_file()]
    return "\n\n".join(parts) or "**None has been timed on a GPU yet.**"


def folded(title: str, table: pd.DataFrame, lines: list[str]) -> str:
    """Lines of a table under the name of the machine, or of each where its rows are from several."""
    rows = table[MACHINE].drop_duplicates().itertuples(index=False)
    machine = " and ".join(f"{m.card}, driver {m.driver}, torch {m.torch}, Triton {m.triton}, Python {m.python}" for m in rows)
    return "\n".join([f"<details><summary>{machine}: {title}</summary>", "", *lines, "", "</details>"])


def ahead(forms: Mapping[str, Row]) -> float:
    """How many times the kernel's time its fastest rival takes, as called or replayed, whichever is worse for the kernel."""
    columns = ("microseconds", "replayed_microseconds")
    found = [row[column] / forms["kernel"][column] for name, row in forms.items() if name != "kernel" for column in columns]
    return min((ratio for ratio in found if not math.isnan(ratio)), default=math.nan)


def kernels(table: pd.DataFrame) -> str:
    """Each kernel where it does worst against torch, how often it is ahead, and whether it was kept: if it is ahead everywhere."""
    head = ["kernel", "ahead at", "worst size", *(f"{form}, μs" for form in FORMS), "fastest rival / kernel", ""]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    kept, gone = list[str](), list[str]()
    for name, part in table.groupby("kernel", sort=False):
        cases = [{row["form"]: row for row in rows.to_dict("records")} for _, rows in part.groupby(["size", "dtype"], sort=False)]
        worst, won = min(cases, key=ahead), sum(ahead(case) > 1 for case in cases)
        score, first = f"{won} of {len(cases)} sizes", worst["kernel"]
        cells = [str(name), score, f"{first['size']}, {first['dtype']}", *(time(worst.get(form)) for form in FORMS), multiple(ahead(worst))]
        keeps = won == len(cases)
        (kept if keeps else gone).append(f"{name} ({multiple(ahead(worst))})")
        lines.append(f"| {' | '.join([*cells, 'kept' if keeps else 'deleted'])} |")
    return "\n\n".join(
        [
            "A Triton kernel is kept where it beats every form of plain torch that was timed, at every size, as called and replayed. "
            f"Kept: {'; '.join(kept) or 'none'}. Deleted: {'; '.join(gone) or 'none'}. In brackets, at the kernel's worst size, how many "
            "times as long as the kernel its fastest rival takes.",
            folded("microseconds as called, and below, replayed in a CUDA graph", table, lines),
        ]
    )


def time(row: Row | None) -> str:
    """As called, and replayed in a CUDA graph; a dash for what was not measured."""
    if row is None or pd.isna(row["microseconds"]):
        return "-"
    replayed = row["replayed_microseconds"]
    return number(row["microseconds"]) + ("" if pd.isna(replayed) else f" <sub>{number(replayed)}</sub>")


def number(value: float) -> str:
    """Three digits, and thousands set apart."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def multiple(ratio: float) -> str:
    """A ratio in the digits that matter."""
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.2f}"


def loops(table: pd.DataFrame) -> str:
    """Images a second of every loop, and what the kernels that are now deleted changed."""
    rates = table.pivot(index=["loop", "precision"], columns="form", values="images_per_second").reindex(
        pd.MultiIndex.from_frame(table[["loop", "precision"]].drop_duplicates())
    )
    forms = [form for form in ("eager", "kernels", "compiled") if form in rates]
    lines = [f"| loop | arithmetic | {' | '.join(forms)} |", "|---" * (2 + len(forms)) + "|"]
    for key, row in rates[forms].iterrows():
        assert isinstance(key, tuple)
        lines.append(f"| {' | '.join([*map(str, key), *('-' if pd.isna(value) else f'{value:,.0f}' for value in row)])} |")
    found = folded("images a second, GoogLeNet, 3x224x224", table, lines)
    return "\n\n".join([gain(rates), found]) if {"eager", "kernels"} <= set(forms) else found


def gain(rates: pd.DataFrame) -> str:
    """What all kernels together did to the loops, and to the one in which none of them ran."""
    ratio = (rates.kernels / rates.eager).dropna()
    idle = ratio.index.get_level_values("loop") == WITHOUT
    used, same = (f"{part.min():.2f} to {part.max():.2f}" for part in (ratio[~idle], ratio[idle]))
    return (
        f"In the study's loops all kernels together gave {used} times the images a second; the {WITHOUT}, in which none of them ran, came "
        f"out at {same} times: so far apart are two measurements of the same code."
    )
