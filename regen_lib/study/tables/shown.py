"""Tables as notebooks show them: every number with its 95 % interval, and the paper's in a row of its own below ours."""

from collections.abc import Sequence

import pandas as pd

PAPER = ", paper"  # a row of the paper's numbers is called like the row above it, and this


def shown(table: pd.DataFrame, index: Sequence[str], columns: Sequence[str] = (), values: Sequence[str] = ()) -> pd.DataFrame:
    """A measured table with a row for each ``index`` and its ``values`` over ``columns``, in the order in which it has them.

    A cell is ``".940 ± .008"``, ± being half the interval of ``metric``, the table's own column, or of ``value`` where it has none;
    numbers without an interval stand alone. ``values`` are the metric unless given.
    """
    metric = table.metric.iloc[0] if "metric" in table else "value"
    index, columns, values = list(index), list(columns), list(values or [metric])
    half = (table.ci_high - table.ci_low) / 2
    cells = {value: table[value].map(short) + (" ± " + half.map(short) if value == metric else "") for value in values}
    last = index[-1]
    rows = with_paper(table.assign(**cells), last, metric, values)
    for key in (*index, *columns):
        names = [name for own in table[key].unique() for name in ((own, f"{own}{PAPER}") if key == last else (own,))]
        rows[key] = pd.Categorical(rows[key], names, ordered=True)
    if not columns:
        return rows.sort_values(index)[[*index, *values]].set_index(index)
    wide = {value: rows.pivot(index=index, columns=columns, values=value).sort_index().sort_index(axis=1).fillna("") for value in values}
    return wide[values[0]] if len(values) == 1 else pd.concat(wide, axis=1)


def with_paper(table: pd.DataFrame, name: str, metric: str, values: Sequence[str]) -> pd.DataFrame:
    """``table``, and its rows again that have the paper's number, which there stands for ``metric``; ``name`` tells them apart."""
    if "paper" not in table:
        return table
    theirs = table[table.paper.notna()]
    numbers = {value: theirs.paper.map(short) if value == metric else "" for value in values}
    return pd.concat([table, theirs.assign(**numbers, **{name: theirs[name] + PAPER})], ignore_index=True)


def short(number: float) -> str:
    """0.9404 as .940."""
    return f"{number:.3f}".removeprefix("0")
