"""A study's tables of results, read whole, and the one cell of a table that a sentence needs."""

from pathlib import Path

import pandas as pd

from regen_lib.core.errors import StudyError
from regen_lib.study.lock import check_tables
from regen_lib.study.report.costs import AGAIN
from regen_lib.study.table_file import read_table

EVALUATED = (
    "network",
    "defense",
    "attack",
    "xi",
    "images",
    "clean_accuracy",
    "accuracy",
    "restoration",
    "fooling_ratio",
    "ci_low",
    "ci_high",
)
COMPARED = (*EVALUATED, "paper")
BANKS = ("bank", "network", "attack", "xi", "fooling_own", "fooling_own_min", "fooling_unseen", "cosine_max", "span_train")
COLUMNS: dict[str, tuple[str, ...]] = {  # what the pages take from each table
    "banks": BANKS,
    "choices": (*EVALUATED, "setting"),
    "clipping": (*EVALUATED, "clip"),
    "costs": ("network", "attack", "gradients", "fooling"),
    "excitation": ("network", "attack", "excitation", "xi", "fooling"),
    "fig2": ("network", "layer", "depth", "spearman", "spearman_drawn"),
    "fig3": ("network", "layer", "order", "fraction", "accuracy", "clean"),
    "figS2": (*EVALUATED, "sweep", "value"),
    "fig6_test": (*EVALUATED, "fooling_own"),
    "hardened": EVALUATED,
    "margins": ("network", "attack", "xi", "fooling", "margin"),
    "synthesis": ("network", "method", "steps_median", "mixed_median", "cosine_median"),
    "unseen": BANKS,
    "defenses": EVALUATED,
    "table4_defenses": EVALUATED,
    "table6_defenses": EVALUATED,
    "defense_costs": ("network", "defense", "parameters"),
    "home": ("network", "defense", "measure", "value"),
    "clipped": (*EVALUATED, "clip"),
    "table1": (*COMPARED, "attack_network"),
    **dict.fromkeys(("table2", "table3", "table4", "table5"), COMPARED),
    "table6": (*COMPARED, "passes", "late_gain"),
}
FILES = tuple(COLUMNS)
MEASURED = ("network", "defense", "inference")


def read(metrics: Path) -> dict[str, pd.DataFrame]:
    """Every table of the study; :class:`StudyError` for one that is missing, damaged, another, or not what dvc.lock has."""
    missing = [name for name in FILES if not (metrics / f"{name}.csv").is_file()]
    if missing:
        raise StudyError(f"{metrics} lacks {', '.join(missing)}: run `dvc repro`")
    tables = {name: read_table(metrics / f"{name}.csv", columns) for name, columns in COLUMNS.items()}
    check_tables(metrics.parent, FILES)
    if tables["table2"].empty:
        raise StudyError(f"{metrics / 'table2.csv'} has no rows: delete it and run `dvc repro`")
    tables["defense_costs"] = priced(tables["defense_costs"], metrics / "inference.csv")
    return tables


def priced(costs: pd.DataFrame, timed: Path) -> pd.DataFrame:
    """What each defence costs, with its time at inference where ``timed`` has it, which no stage needs."""
    measured = costs[["network", "defense"]].assign(inference=float("nan"))
    if timed.is_file():
        measured = read_table(timed, MEASURED, f"delete it; {AGAIN}", filled=True)[list(MEASURED)]
    try:
        return costs.merge(measured, on=["network", "defense"], how="left", validate="1:1")
    except ValueError as error:  # a row that is there twice, or names that are numbers
        why = str(error).partition("\n")[0]
        raise StudyError(f"{timed} does not fit defense_costs.csv beside it ({why}): delete it; {AGAIN}") from error


def cell(tables: dict[str, pd.DataFrame], table: str, network: str, attack: str, defense: str) -> pd.Series:
    """One row of a table; :class:`StudyError` unless it is there exactly once."""
    rows = tables[table]
    rows = rows[(rows.network == network) & (rows.attack == attack) & (rows.defense == defense)]
    if len(rows) != 1:
        raise StudyError(f"metrics/{table}.csv has {len(rows)} rows for {network}, {attack}, {defense}: run `dvc repro`")
    return rows.iloc[0]
