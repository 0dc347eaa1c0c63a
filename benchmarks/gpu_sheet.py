"""The README's section on the kernels and loops as timed on a GPU, from the tables that were written there, as far as they are there."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

Row = Mapping[Any, Any]
KERNELS, LOOPS = "kernels_gpu.csv", "loops_gpu.csv"
RIVALS = ("eager", "compiled", "tuned")


def block(results: Path) -> str:
    """Both tables, folded, each under its card; a sentence where neither has been measured."""
    makers = {KERNELS: kernels, LOOPS: loops}
    parts = [make(pd.read_csv(results / name, keep_default_na=True)) for name, make in makers.items() if (results / name).is_file()]
    return "\n\n".join(parts) or "**None has been timed on a GPU yet.**"


def folded(title: str, table: pd.DataFrame, lines: list[str]) -> str:
    """Lines of a table under the machine's name."""
    about = table.iloc[0]
    machine = f"{about.card}, driver {about.driver}, torch {about.torch}, Triton {about.triton}, Python {about.python}"
    return "\n".join([f"<details><summary>{machine}: {title}</summary>", "", *lines, "", "</details>"])


def ratios(forms: Mapping[str, Row]) -> list[float]:
    """How many times the kernel's time its rivals' take, in all ways in which both were measured."""
    columns = ("microseconds", "replayed_microseconds")
    found = [forms[rival][column] / forms["kernel"][column] for rival in RIVALS if rival in forms for column in columns]
    return [ratio for ratio in found if not math.isnan(ratio)]


def kernels(table: pd.DataFrame) -> str:
    """Microseconds of every form; how many times the kernel's the fastest rival takes; the share of a copy's bandwidth."""
    names = ["kernel", *(form for form in RIVALS if form in set(table.form))]
    lines = [
        f"| operation | size | type | {' | '.join(f'{name}, μs' for name in names)} | fastest rival / kernel | of a copy's bandwidth |"
    ]
    lines.append("|---" * (5 + len(names)) + "|")
    ahead = 0
    cases = table.groupby(["kernel", "size", "dtype"], sort=False)
    for key, rows in cases:
        forms: dict[str, Row] = {row["form"]: row for row in rows.to_dict("records")}
        times = [time(forms[name]) if name in forms else "" for name in names]
        least = min(ratios(forms), default=math.nan)
        ahead += least > 1
        lines.append(f"| {' | '.join([*map(str, key), *times])} | {least:.2f} | {100 * forms['kernel']['share_of_copy']:.0f} % |")
    title = f"kernels faster in {ahead} of {len(cases)} cases; a copy moves {table.copy_gb_per_second.iloc[0]:,.0f} GB/s"
    return folded(title, table, lines)


def time(row: Row) -> str:
    """As called, and replayed in a CUDA graph."""
    called, replayed = row["microseconds"], row["replayed_microseconds"]
    return "-" if pd.isna(called) else f"{called:.3g}" + ("" if pd.isna(replayed) else f" <sub>{replayed:.3g}</sub>")


def loops(table: pd.DataFrame) -> str:
    """Images a second of every loop with kernels, with their twins, and compiled."""
    rates = table.pivot(index=["loop", "precision"], columns="form", values="images_per_second").reindex(
        pd.MultiIndex.from_frame(table[["loop", "precision"]].drop_duplicates())
    )
    forms = [form for form in ("eager", "kernels", "compiled") if form in rates]
    lines = [f"| loop | arithmetic | {' | '.join(forms)} |", "|---" * (2 + len(forms)) + "|"]
    for key, row in rates[forms].iterrows():
        cells = ["-" if pd.isna(value) else f"{value:,.0f}" for value in row]
        assert isinstance(key, tuple)
        lines.append(f"| {' | '.join([*map(str, key), *cells])} |")
    return folded("images a second, GoogLeNet, 3x224x224", table, lines)
