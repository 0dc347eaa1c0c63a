"""What the committed run of a study took: a page's paragraph, and README's line."""

from pathlib import Path

import pandas as pd

from regen_lib.study.table_file import read_table

RIVALRY = ("rivals", "white_box_rivals", "comparison")  # the stages that only the other defences need
COLUMNS = ("stage", "network", "cpu_seconds", "peak_mb", "machine")
AGAIN = "`python -m regen_lib.study.report.minutes` writes it anew"
NOT_MEASURED = "Not measured yet: `python -m regen_lib.study.report.minutes` after `make repro`."


def read_minutes(metrics: Path) -> pd.DataFrame | None:
    """``metrics/minutes.csv``, where a run was measured; :class:`StudyError` where that is no such table."""
    path = metrics / "minutes.csv"
    return read_table(path, COLUMNS, f"delete it; {AGAIN}", filled=True) if path.is_file() else None


def minutes(metrics: Path) -> str:
    """What each stage of the committed run took, in CPU seconds, from ``metrics/minutes.csv``."""
    table = read_minutes(metrics)
    if table is None:
        return NOT_MEASURED
    stages = table.groupby("stage", sort=False).cpu_seconds.sum().sort_values(ascending=False)
    listed = " · ".join(f"{stage} {seconds:.0f}" for stage, seconds in stages.items())
    total, ours = stages.sum() / 60, stages[~stages.index.isin(RIVALRY)].sum() / 60
    peak, machine = table.peak_mb.max() / 1000, table.machine.iloc[0]
    return (
        f"CPU seconds, imports included, on {machine}, one thread: {listed}. In all {total:.1f} CPU-minutes, {ours:.1f} without "
        f"{', '.join(RIVALRY)}; peak memory {peak:.1f} GB."
    )


def cost(metrics: Path) -> str:
    """The same in a line."""
    table = read_minutes(metrics)
    if table is None:
        return NOT_MEASURED
    return (
        f"`make repro` took {table.cpu_seconds.sum() / 60:.0f} CPU-minutes on {table.machine.iloc[0]}, and a stage at most "
        f"{table.peak_mb.max() / 1000:.1f} GB of memory."
    )
