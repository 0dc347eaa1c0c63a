"""The results in the README and in the pages of docs/, written from the studies' metrics/ and from nothing else.

``python -m regen_lib.study.report.readme``, in a study's folder, replaces what stands between the markers of each of its pages
(:data:`PAGES`) and writes ``metrics/summary.json``, which ``dvc metrics show`` prints.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from regen_lib.core.errors import StudyError
from regen_lib.core.storage import write_bytes
from regen_lib.study.params import load_params
from regen_lib.study.report import defenses_table, glossary, photographs, seeds, studies, verdicts
from regen_lib.study.report.claims import findings
from regen_lib.study.report.costs import cost, minutes, read_minutes
from regen_lib.study.report.names import TITLES
from regen_lib.study.report.pages import write_pages
from regen_lib.study.report.results import cell, read
from regen_lib.study.report.wording import spread

PAGES = {  # the blocks that each page has from a study, by the study's folder
    ".": {
        "README.md": ("cost", "small"),
        "docs/fashion-mnist.md": ("results", "findings", "defenses"),
        "docs/costs.md": ("minutes",),
        "docs/reading.md": ("studies",),
        "docs/names.md": ("attacks", "rivals"),
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


def shown(tables: dict[str, pd.DataFrame]) -> Columns:
    """The columns whose attack this study has."""
    return {name: (table, attack) for name, (table, attack) in COLUMNS.items() if attack in set(tables[table].attack)}


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
        bare, ours = (cell(tables, table, network, attack, defense) for defense in ("undefended", "ours"))
        interval = f"{bare.restoration:.3f} → **{ours.restoration:.3f}** <sub>{ours.ci_low:.3f}-{ours.ci_high:.3f}</sub>"
        parts.append(interval + ("" if pd.isna(ours.paper) else f" · {bare.paper:.3f} → {ours.paper:.3f}"))
    return "| " + " | ".join(parts) + " |"


def render(metrics: Path) -> str:
    """The results: a table with one row per network."""
    tables = read(metrics)
    columns = shown(tables)
    xi = {name: f"{tables[table].xi[tables[table].attack == attack].iloc[0]:g}" for name, (table, attack) in columns.items()}
    head = ["network", "clean top-1, %", f"top-1 under UAP (ξ = {xi['UAP']}), %"]
    head += [f"{name} (ξ = {xi[name]})" for name in columns]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += [network_line(tables, network) for network in tables["table2"].network.unique()]
    bare = tables["table2"][(tables["table2"].attack == "uap") & (tables["table2"].defense == "undefended")].fooling_ratio
    note = (
        "\nArrows: undefended → with units. The last columns give the **restoration accuracy** (Eq. 9) and our defence's 95 % interval; the"
        f" numbers after the dot are the paper's, on ImageNet. UAPs fool {spread(bare)} of these images, the paper's"
        f" at least 0.8. {counted(tables, columns)}, one perturbation each, not clipped."
    )
    return "\n".join([*lines, note])


def counted(tables: dict[str, pd.DataFrame], columns: Columns) -> str:
    """How many test images the columns are of."""
    images = {name: int(tables[table].images.iloc[0]) for name, (table, _) in columns.items()}
    if len(set(images.values())) == 1:
        return f"{next(iter(images.values())):,} test images"
    return "Test images: " + ", ".join(f"{name} {count:,}" for name, count in images.items())


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


def blocks(study: Path, folder: str, params: Mapping[str, Any]) -> dict[str, str]:
    """Every block that the study in ``study`` has; ``folder`` is that one as the pages link to it, ``params`` its params.yaml."""
    metrics, linked = study / "metrics", (Path(folder) / "metrics").as_posix()
    tables = read(metrics)
    built = defenses_table.built_on(params)
    real = photographs.read(metrics)
    photos = {} if real is None else {"photographs": photographs.sentence(tables), "classes": photographs.block(real)}
    again = seeds.read(metrics / "seeds.csv")
    return photos | {
        "verdicts": verdicts.block(tables, linked),
        "cost": cost(metrics),
        "small": verdicts.untrained(tables),
        "results": render(metrics),
        "findings": findings(tables, linked),
        "defenses": defenses_table.block(tables, read_minutes(metrics), built),
        "seeds": seeds.NOT_RUN if again is None else seeds.block(again),
        "minutes": minutes(metrics),
        "studies": studies.block(study / params["study"]["source"]),
        "attacks": glossary.block("attacks"),
        "rivals": glossary.block("defenses"),
    }


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
