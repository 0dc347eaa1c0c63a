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


Tables = dict[str, pd.DataFrame]
Finding = tuple[str, str, str]  # the claim, the paper's figure, ours


def findings(metrics: Path) -> str:
    """The paper's claims, one a row: what it says, what is measured here."""
    tables = read(metrics)
    rows = [*of_filters(tables), *of_perturbations(tables), *of_units(tables), *of_choices(tables)]
    return "\n".join(["| claim | paper | here |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)])


def of_filters(t: Tables) -> list[Finding]:
    """Notebooks 01 and 02."""
    by_layer = t["fig2"].groupby(["network", "depth"]).spearman.first()
    first, deep = by_layer.xs(1, level="depth"), by_layer[by_layer.index.get_level_values("depth") > 1]
    half = restored(t["fig3"], 0.5).groupby("order").restored
    mean, low = half.mean(), half.min()
    shares = [
        f"{name} {mean[key]:.2f} (lowest {low[key]:.2f})"
        for name, key in (("ranked", "ranked"), ("random", "random"), ("least vulnerable", "reversed"))
    ]
    norms = "filters of large l1 norm carry the noise (Fig. 2)"
    masking = "masking the top half of a first layer restores most of the lost accuracy (Fig. 3)"
    return [
        (norms, "first layers, no figure", f"Spearman {spread(first)} in first layers, {spread(deep)} deeper"),
        (masking, "nearly all; no control", f"share restored, mean over networks: {', '.join(shares)}"),
    ]


def of_perturbations(t: Tables) -> list[Finding]:
    """Notebooks 00c and 03."""
    uaps, smaller = (t["banks"][t["banks"].bank == bank] for bank in ("test", "smaller"))
    own = f"xi {uaps.xi.iloc[0]:g}: weakest of each bank {spread(uaps.fooling_own_min)}, mean on test images {spread(uaps.fooling_unseen)}"
    own += f"; at xi {smaller.xi.iloc[0]:g} the weakest reach {spread(smaller.fooling_own_min)}"
    walks = t["synthesis"][t["synthesis"].method == "paper"]
    made = f"median cosine with the nearest member {spread(walks.cosine_median, '.3f')}, effective members {spread(walks.mixed_median)}"
    return [
        ("UAPs fool at least 0.8 of the images they are made from", "xi 10: 0.8", own),
        ("UAPs of one network are nearly orthogonal", "at most 0.15", f"largest inner product {spread(uaps.cosine_max)}"),
        ("Algorithm 1 makes new perturbations", "2,000 from 25", f"{made}, steps {spread(walks.steps_median, '.0f')}"),
    ]


def of_units(t: Tables) -> list[Finding]:
    """Tables 1 to 5."""
    t1, clean = t["table1"], t["table2"].pivot_table(index="network", columns="defense", values="clean_accuracy")
    black = t1[t1.network != t1.attack_network].pivot_table(index=["network", "attack_network"], columns="defense", values="accuracy")
    strong = t["table4"][t["table4"].defense == "ours"].sort_values("xi")
    unseen = t["table5"][t["table5"].attack == "spgd"].pivot(index="network", columns="defense", values="restoration")
    cross = f"top-1 {spread(black.undefended, '.3f')} undefended, {spread(black.ours, '.3f')} with units"
    met = f"restoration {spread(unseen.undefended, '.3f')} undefended, {spread(unseen.ours, '.3f')} with units"
    points = spread(100 * (clean.undefended - clean.ours), ".1f")
    return [
        ("units leave clean images alone", "0.1 points gained to 2.2 lost", f"{points} points lost"),
        ("units also help against UAPs made for other networks (Table 1)", "0.457 to 0.769 with units", cross),
        ("units hold against an attack they never met (Table 5: sPGD)", "ResNet-152: 0.671 undefended, 0.976 with units", met),
        ("restoration falls gently with xi (Table 4: CaffeNet, 1, 1.5, 2, 2.5 times xi)", dots(strong.paper), dots(strong.restoration)),
    ]


def of_choices(t: Tables) -> list[Finding]:
    """Fig. S2, the ratio, clipping."""
    s2 = t["figS2"][t["figS2"].attack == "test"]
    units, ratio = (s2[s2.sweep == sweep].sort_values("value") for sweep in ("units", "ratio"))
    name = TITLES[units.network.iloc[0]]
    clip = t["clipping"].groupby(["defense", "clip"]).accuracy.mean()
    both = [f"{defense} {clip[defense, False]:.3f}, clipped {clip[defense, True]:.3f}" for defense in ("undefended", "ours")]
    return [
        (f"at most six units are enough (Fig. S2: {name}, 0 to 6 units)", "figure not printed", dots(units.restoration)),
        (f"half of the filters is enough ({name}, {dots(ratio.value, 'g')} of them)", "figure not printed", dots(ratio.restoration)),
        ("x + v is not clipped", "not said; the release does not", f"mean top-1 under UAP: {'; '.join(both)}"),
    ]


def dots(values: pd.Series, form: str = ".3f") -> str:
    """Values in a row."""
    return " · ".join(format(value, form) for value in values)


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
