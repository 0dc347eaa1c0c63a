"""The results in the README and in the pages of docs/, written from the studies' metrics/ and from nothing else.

``python -m regen_lib.study.report.readme``, in a study's folder, replaces what stands between the markers of each of its pages
(:data:`PAGES`) and writes ``metrics/summary.json``, which ``dvc metrics show`` prints.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from regen_lib.core.errors import StudyError
from regen_lib.core.storage import write_bytes
from regen_lib.study.params import load_params
from regen_lib.study.report import defenses_table, photographs, seeds, studies, verdicts
from regen_lib.study.report.claims import findings
from regen_lib.study.titles import TITLES

PAGES = {  # the blocks that each page has from a study, by the study's folder
    ".": {
        "README.md": ("cost", "small"),
        "docs/fashion-mnist.md": ("results", "findings", "defenses"),
        "docs/costs.md": ("minutes",),
        "docs/reading.md": ("studies",),
    },
    "studies/cifar10": {
        "README.md": ("verdicts",),
        "docs/report.md": ("results", "findings", "defenses", "seeds", "minutes"),
    },
    "studies/imagenette": {
        "README.md": ("photographs",),
        "docs/photographs.md": ("results", "classes", "findings", "defenses", "minutes"),
    },
}
FILES = (
    *("banks", "choices", "clipping", "costs", "excitation", "fig2", "fig3", "figS2", "fig6_test", "hardened", "margins", "synthesis"),
    *("unseen", "defenses", "table4_defenses", "table6_defenses", "defense_costs", "home", "clipped"),
    *("table1", "table2", "table3", "table4", "table5", "table6"),
)
COLUMNS = {
    "UAP": ("table2", "uap"),
    "UAP, l2": ("table3", "uap_l2"),
    "unseen attacks, mean": ("table5", "mean_unseen"),
    "sPGD": ("table5", "spgd"),
    "random signs": ("table5", "random_signs"),
}
PLACES = {"unseen": "restoration", "white_box": "white_box"}
Columns = dict[str, tuple[str, str]]
EXPERIMENT = "DVC_EXP_BASELINE_REV"  # set by `dvc exp run`: what an experiment measures belongs in its metrics, not on the pages
RIVALRY = ("rivals", "white_box_rivals", "comparison")  # the stages that only the other defences need


def cell(tables: dict[str, pd.DataFrame], table: str, network: str, attack: str, defense: str) -> pd.Series:
    """One row of a table; :class:`StudyError` unless it is there exactly once."""
    rows = tables[table]
    rows = rows[(rows.network == network) & (rows.attack == attack) & (rows.defense == defense)]
    if len(rows) != 1:
        raise StudyError(f"metrics/{table}.csv has {len(rows)} rows for {network}, {attack}, {defense}: run `dvc repro`")
    return rows.iloc[0]


def shown(tables: dict[str, pd.DataFrame]) -> Columns:
    """The columns whose attack this study has."""
    return {name: (table, attack) for name, (table, attack) in COLUMNS.items() if attack in set(tables[table].attack)}


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


def percent(value: float) -> str:
    """0.8765 as 87.7."""
    return f"{100 * value:.1f}"


def network_line(tables: dict[str, pd.DataFrame], network: str) -> str:
    """A network's row of the table of results."""
    before, after = (cell(tables, "table2", network, "uap", defense) for defense in ("undefended", "ours"))
    clean = f"{percent(before.clean_accuracy)} → {percent(after.clean_accuracy)}"
    top1 = f"{percent(before.accuracy)} → **{percent(after.accuracy)}**"
    parts = [TITLES[network], clean, top1]
    for table, attack in shown(tables).values():
        ours = cell(tables, table, network, attack, "ours")
        interval = f"**{ours.restoration:.3f}** <sub>{ours.ci_low:.3f}-{ours.ci_high:.3f}</sub>"
        parts.append(interval + ("" if pd.isna(ours.paper) else f" · {ours.paper:.3f}"))
    return "| " + " | ".join(parts) + " |"


def render(metrics: Path) -> str:
    """The results: a table with one row per network."""
    tables = read(metrics)
    images = int(tables["table2"].images.iloc[0])
    columns = shown(tables)
    xi = {name: f"{tables[table].xi[tables[table].attack == attack].iloc[0]:g}" for name, (table, attack) in columns.items()}
    head = ["network", "clean top-1, %", f"top-1 under UAP (ξ = {xi['UAP']}), %"]
    head += [f"{name} (ξ = {xi[name]})" for name in columns]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += [network_line(tables, network) for network in tables["table2"].network.unique()]
    note = (
        "\nArrows: undefended → with units. The last columns give the **restoration accuracy** (Eq. 9) of our defence and its 95 %"
        f" interval; the number after the dot is the paper's, on ImageNet. {images:,} test images, one perturbation each, not clipped."
    )
    return "\n".join([*lines, note])


def summary(metrics: Path) -> dict[str, float]:
    """What ``dvc metrics show`` prints, few enough for a line: our clean top-1 and restoration against each attack, means over networks,
    and our place among the defences, under unseen attacks and in the white box."""
    tables = read(metrics)
    networks, columns = [str(network) for network in tables["table2"].network.unique()], shown(tables).values()

    def mean(table: str, attack: str, value: str) -> float:
        return round(sum(float(cell(tables, table, network, attack, "ours")[value]) for network in networks) / len(networks), 4)

    restored = {attack: mean(table, attack, "restoration") for table, attack in columns}
    order = defenses_table.condensed(tables, None, {})
    places = {f"place_{title}": defenses_table.place(defenses_table.ranked(order[key])) for title, key in PLACES.items()}
    return {"clean": mean("table2", "uap", "clean_accuracy")} | restored | places


def read_minutes(metrics: Path) -> pd.DataFrame | None:
    """``metrics/minutes.csv``, where a run was measured."""
    path = metrics / "minutes.csv"
    return pd.read_csv(path) if path.is_file() else None


NOT_MEASURED = "Not measured yet: `python -m regen_lib.study.report.minutes` after `make repro`."


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


def insert(page: str, part: str, block: str, writer: str = "regen_lib.study.report.readme") -> str:
    """A page's text with ``block`` between the markers of ``part``, which name its ``writer``.

    :class:`StudyError` unless both stand there once.
    """
    begin, end = f"<!-- {part}: written by `python -m {writer}` -->", f"<!-- end of {part} -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise StudyError(f"the page needs the lines {begin!r} and {end!r} once each")
    before, rest = page.split(begin)
    return f"{before}{begin}\n{block}\n{end}{rest.split(end)[1]}"


def blocks(study: Path, folder: str, params: Mapping[str, Any]) -> dict[str, str]:
    """Every block that the study in ``study`` has; ``folder`` is that one as the pages link to it, ``params`` its params.yaml."""
    metrics, linked = study / "metrics", (Path(folder) / "metrics").as_posix()
    tables = read(metrics)
    built = defenses_table.built_on(params)
    real = metrics / "real_images.csv"
    shown = {"photographs": photographs.sentence(tables), "classes": photographs.block(pd.read_csv(real))} if real.is_file() else {}
    return shown | {
        "verdicts": verdicts.block(tables, linked),
        "cost": cost(metrics),
        "small": verdicts.untrained(tables),
        "results": render(metrics),
        "findings": findings(tables, linked),
        "defenses": defenses_table.block(tables, read_minutes(metrics), built),
        "seeds": seeds.block(pd.read_csv(again)) if (again := metrics / "seeds.csv").is_file() else seeds.NOT_RUN,
        "minutes": minutes(metrics),
        "studies": studies.block(study / params["study"]["source"]),
    }


def write_pages(
    pages: Mapping[str, Sequence[str]],
    blocks: Mapping[str, str],
    writer: str = "regen_lib.study.report.readme",
    root: Path = Path(),
) -> None:
    """Write the blocks into those of ``pages`` that are there, below ``root``. :class:`StudyError` names the page."""
    for name, parts in pages.items():
        path = root / name
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            try:
                for part in parts:
                    text = insert(text, part, blocks[part], writer)
            except StudyError as error:
                raise StudyError(f"{name}: {error}") from error
            write_bytes(path, text.encode())


def main() -> int:
    """Write metrics/summary.json, and the pages that this study has; returns the exit status."""
    metrics = Path("metrics")
    try:
        write_bytes(metrics / "summary.json", (json.dumps(summary(metrics), indent=2) + "\n").encode())
        params = load_params(Path("params.yaml"))
        root = Path(params["study"]["source"])
        folder = Path(os.path.relpath(Path.cwd(), root)).as_posix()
        if folder in PAGES and EXPERIMENT not in os.environ:
            write_pages(PAGES[folder], blocks(Path(), folder, params), root=root)
    except (OSError, StudyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
