"""A study's tables of results, read whole, and the one cell of a table that a sentence needs."""

from pathlib import Path

import pandas as pd

from regen_lib.core.errors import StudyError

FILES = (
    *("banks", "choices", "clipping", "costs", "excitation", "fig2", "fig3", "figS2", "fig6_test", "hardened", "margins", "synthesis"),
    *("unseen", "defenses", "table4_defenses", "table6_defenses", "defense_costs", "home", "clipped"),
    *("table1", "table2", "table3", "table4", "table5", "table6"),
)


def read(metrics: Path) -> dict[str, pd.DataFrame]:
    """Every table of the study; :class:`StudyError` for one that is missing."""
    missing = [name for name in FILES if not (metrics / f"{name}.csv").is_file()]
    if missing:
        raise StudyError(f"{metrics} lacks {', '.join(missing)}: run `dvc repro`")
    tables = {name: pd.read_csv(metrics / f"{name}.csv") for name in FILES}
    timed = metrics / "inference.csv"
    costs = tables["defense_costs"]
    measured = pd.read_csv(timed) if timed.is_file() else costs[["network", "defense"]].assign(inference=float("nan"))
    tables["defense_costs"] = costs.merge(measured, on=["network", "defense"], how="left", validate="1:1")
    return tables


def cell(tables: dict[str, pd.DataFrame], table: str, network: str, attack: str, defense: str) -> pd.Series:
    """One row of a table; :class:`StudyError` unless it is there exactly once."""
    rows = tables[table]
    rows = rows[(rows.network == network) & (rows.attack == attack) & (rows.defense == defense)]
    if len(rows) != 1:
        raise StudyError(f"metrics/{table}.csv has {len(rows)} rows for {network}, {attack}, {defense}: run `dvc repro`")
    return rows.iloc[0]
