"""The README's result tables, written from metrics/ and from nothing else.

``python -m regen_lib.report`` replaces what stands between the README's markers and writes ``metrics/summary.json``,
which ``dvc metrics show`` prints.
"""

import json
import sys
from pathlib import Path

import pandas as pd

from regen_lib.artifacts import write_bytes
from regen_lib.errors import StudyError
from regen_lib.masking import restored
from regen_lib.paper import TITLES

MARKERS = {
    part: (f"<!-- {part}: written by `python -m regen_lib.report` -->", f"<!-- end of {part} -->") for part in ("results", "findings")
}
FILES = ("banks", "clipping", "fig2", "fig3", "figS2", "synthesis", "table1", "table2", "table3", "table4", "table5")
COLUMNS = {
    "UAP": ("table2", "test"),
    "UAP, l2": ("table3", "test_l2"),
    "sPGD": ("table5", "spgd"),
    "random signs": ("table5", "random_signs"),
}


def cell(tables: dict[str, pd.DataFrame], table: str, network: str, attack: str, defense: str) -> pd.Series:
    """One row of a table; :class:`StudyError` unless it is there exactly once."""
    rows = tables[table]
    rows = rows[(rows.network == network) & (rows.attack == attack) & (rows.defense == defense)]
    if len(rows) != 1:
        raise StudyError(f"metrics/{table}.csv has {len(rows)} rows for {network}, {attack}, {defense}: run `dvc repro`")
    return rows.iloc[0]


def read(metrics: Path) -> dict[str, pd.DataFrame]:
    """Every table of the study; :class:`StudyError` for one that is missing."""
    missing = [name for name in FILES if not (metrics / f"{name}.csv").is_file()]
    if missing:
        raise StudyError(f"{metrics} lacks {', '.join(missing)}: run `dvc repro`")
    return {name: pd.read_csv(metrics / f"{name}.csv") for name in FILES}


def percent(value: float) -> str:
    """0.8765 as 87.7."""
    return f"{100 * value:.1f}"


def network_line(tables: dict[str, pd.DataFrame], network: str) -> str:
    """A network's row of the README's table."""
    before, after = (cell(tables, "table2", network, "test", defense) for defense in ("undefended", "ours"))
    clean = f"{percent(before.clean_accuracy)} → {percent(after.clean_accuracy)}"
    top1 = f"{percent(before.accuracy)} → **{percent(after.accuracy)}**"
    parts = [TITLES[network], clean, top1]
    for table, attack in COLUMNS.values():
        ours = cell(tables, table, network, attack, "ours")
        interval = f"**{ours.restoration:.3f}** <sub>{ours.ci_low:.3f}-{ours.ci_high:.3f}</sub>"
        parts.append(interval + ("" if pd.isna(ours.paper) else f" · {ours.paper:.3f}"))
    return "| " + " | ".join(parts) + " |"


def render(metrics: Path) -> str:
    """The README's block: a table with a row a network."""
    tables = read(metrics)
    images = int(tables["table2"].images.iloc[0])
    xi = {table: f"{tables[table].xi[tables[table].attack == attack].iloc[0]:g}" for table, attack in COLUMNS.values()}
    head = ["network", "clean top-1, %", f"top-1 under UAP (ξ = {xi['table2']}), %"]
    head += [f"{name} (ξ = {xi[table]})" for name, (table, _) in COLUMNS.items()]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += [network_line(tables, network) for network in tables["table2"].network.unique()]
    note = (
        "\nUndefended → with units. Last four columns: **restoration accuracy** (Eq. 9) of our defence and its 95 % interval; after the"
        f" dot, the paper's value on ImageNet where it has one. {images:,} test images, one perturbation each, not clipped."
    )
    return "\n".join([*lines, note])


def summary(metrics: Path) -> dict[str, dict[str, float]]:
    """What ``dvc metrics show`` prints: per network, clean top-1 and restoration against each attack."""
    tables = read(metrics)
    result = {}
    for network in tables["table2"].network.unique():
        ours = {name: round(float(cell(tables, *where, "ours").restoration), 4) for name, where in places(network).items()}
        result[str(network)] = {"clean": round(float(cell(tables, "table2", network, "test", "ours").clean_accuracy), 4)} | ours
    return result


def places(network: str) -> dict[str, tuple[str, str, str]]:
    """Where each attack's row of a network stands: attack to (table, network, attack)."""
    return {attack: (table, network, attack) for table, attack in COLUMNS.values()}


def spread(values: pd.Series, form: str = ".2f") -> str:
    """The range of some values."""
    return f"{values.min():{form}} to {values.max():{form}}"


def findings(metrics: Path) -> str:
    """The paper's claims, one a row: what it says, what is measured here."""
    t = read(metrics)
    first = t["fig2"][t["fig2"].depth == 1].groupby("network").spearman.first()
    deep = t["fig2"][t["fig2"].depth > 1].groupby(["network", "layer"]).spearman.first()
    half = restored(t["fig3"], 0.5).groupby("order").restored
    uaps, weak = t["banks"][t["banks"].bank == "test"], t["banks"][t["banks"].bank == "smaller"]
    algorithm = t["synthesis"][t["synthesis"].method == "paper"]
    strong = t["table4"][t["table4"].defense == "ours"].sort_values("xi")
    white = t["table1"][(t["table1"].network == t["table1"].attack_network) & (t["table1"].defense == "ours")]
    black = t["table1"][(t["table1"].network != t["table1"].attack_network)].pivot_table(
        index=["network", "attack_network"], columns="defense", values="accuracy"
    )
    clip = t["clipping"].groupby(["defense", "clip"]).accuracy.mean()
    s2 = t["figS2"][t["figS2"].attack == "test"]
    units, ratio = (s2[s2.sweep == sweep].sort_values("value") for sweep in ("units", "ratio"))
    lost = t["table2"][t["table2"].attack == "test"].groupby(["network", "defense"]).clean_accuracy.first().unstack()
    rows = [
        (
            "filters of large l1 norm carry the noise (Fig. 2)",
            "first layers",
            f"Spearman {spread(first)} in first layers, {spread(deep)} deeper",
        ),
        (
            "masking the top half of a first layer restores most of the lost accuracy (Fig. 3)",
            "ranked: most of it; no control",
            f"mean share restored: ranked {half.mean()['ranked']:.2f}, random {half.mean()['random']:.2f}, least vulnerable"
            f" {half.mean()['reversed']:.2f}",
        ),
        (
            "UAPs fool at least 0.8 of the images they are made from",
            "xi 10, 0.8",
            f"xi {uaps.xi.iloc[0]:g}: {spread(uaps.fooling_own_min)} (weakest of each bank), {spread(uaps.fooling_unseen)} on test images;"
            f" at xi {weak.xi.iloc[0]:g}: {spread(weak.fooling_own_min)}",
        ),
        ("UAPs of one network are nearly orthogonal", "at most 0.15", f"largest inner product {spread(uaps.cosine_max)}"),
        (
            "Algorithm 1 makes new perturbations",
            "2,000 from 25",
            f"median cosine with the nearest member {spread(algorithm.cosine_median, '.3f')}, effective members"
            f" {spread(algorithm.mixed_median)}, steps {spread(algorithm.steps_median, '.0f')}",
        ),
        (
            "units leave clean images alone",
            "0.1 points gained to 2.2 lost",
            f"{spread(100 * (lost.undefended - lost.ours), '.1f')} points lost",
        ),
        (
            "black-box UAPs do less harm than white-box ones (Table 1)",
            "yes",
            f"top-1 with units: white-box {spread(white.accuracy, '.3f')}, black-box {spread(black.ours, '.3f')} (undefended"
            f" {spread(black.undefended, '.3f')})",
        ),
        (
            "restoration falls gently with xi (Table 4, CaffeNet, 1 to 2.5 times xi)",
            " · ".join(f"{value:.3f}" for value in strong.paper),
            " · ".join(f"{value:.3f}" for value in strong.restoration),
        ),
        (
            f"six units are enough (Fig. S2, {TITLES[units.network.iloc[0]]})",
            "figure only",
            "0 to 6 units: " + " · ".join(f"{value:.3f}" for value in units.restoration),
        ),
        (
            "half of the filters is enough",
            "figure only",
            "ratio " + " · ".join(f"{r.value:g}: {r.restoration:.3f}" for r in ratio.itertuples()),
        ),
        (
            "x + v is not clipped",
            "not said; release does not clip",
            f"mean top-1 under UAP: undefended {clip['undefended', False]:.3f}, clipped {clip['undefended', True]:.3f}; ours"
            f" {clip['ours', False]:.3f}, clipped {clip['ours', True]:.3f}",
        ),
    ]
    return "\n".join(["| claim | paper | here |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)])


def insert(readme: str, part: str, block: str) -> str:
    """The README's text with ``block`` between the markers of ``part``; :class:`StudyError` unless both stand there once."""
    begin, end = MARKERS[part]
    if readme.count(begin) != 1 or readme.count(end) != 1:
        raise StudyError(f"README.md needs the lines {begin!r} and {end!r} once each")
    before, rest = readme.split(begin)
    return f"{before}{begin}\n{block}\n{end}{rest.split(end)[1]}"


def update(readme: str, metrics: Path) -> str:
    """The README's text with every block written anew."""
    return insert(insert(readme, "results", render(metrics)), "findings", findings(metrics))


def main() -> int:
    """Write README.md and metrics/summary.json; returns the exit status."""
    metrics, readme = Path("metrics"), Path("README.md")
    try:
        text = update(readme.read_text(), metrics)
        write_bytes(metrics / "summary.json", (json.dumps(summary(metrics), indent=2) + "\n").encode())
        write_bytes(readme, text.encode())
    except (OSError, StudyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
