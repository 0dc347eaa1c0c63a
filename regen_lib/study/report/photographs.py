"""What the study of photographs says: on the classes that its units have seen and on others, and in a sentence for the README."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from regen_lib.study import paper
from regen_lib.study.lock import check_tables
from regen_lib.study.report.defenses_table import MET
from regen_lib.study.report.names import ATTACK_TITLES, DEFENSE_TITLES, TITLES
from regen_lib.study.report.results import EVALUATED, cell
from regen_lib.study.report.verdicts import returned
from regen_lib.study.table_file import read_table
from regen_lib.study.tables.masking import restored

Tables = dict[str, pd.DataFrame]
SPLITS = {"test": "the ten classes", "others": "other classes"}
UNITS = {  # the sets of units that the ablation trains for this table, each for as long as the first
    "units6": "trained a sixth as long",
    "labels": "as that, towards the labels",
    "release": "as that, the release's 14 units",
    "images1500": "as that, on 1,500 photographs",
    "images500": "as that, on 500 photographs",
}
TABLE, COLUMNS = "real_images", (*EVALUATED, "shown", "clean_among", "among")
NETWORK = "googlenet"  # the paper's own


def read(metrics: Path) -> pd.DataFrame | None:
    """The table of photographs, where the study has one; :class:`StudyError` where that is not as its stage left it."""
    if not (path := metrics / f"{TABLE}.csv").is_file():
        return None
    table = read_table(path, COLUMNS)
    check_tables(metrics.parent, [TABLE], needed=True)
    return table


def block(table: pd.DataFrame) -> str:
    """A row for each network and set of units: on ``test`` and ``others``, top-1 on clean images, restoration under UAPs and under attacks
    that nothing was trained on, and the share of answers that are classes of the training images."""
    unseen = [attack for attack in table.attack.unique() if attack not in MET]
    under = ", ".join(ATTACK_TITLES[attack] for attack in unseen)
    head = ["network", "units"]
    for words in SPLITS.values():
        head += [f"{words}: clean top-1", "UAP", f"unseen ({under})"]
    head += ["answers among the ten on other classes: clean", "under UAPs"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for (network, defense), rows in table.groupby(["network", "defense"], sort=False):
        cells = [TITLES[str(network)], UNITS.get(str(defense), DEFENSE_TITLES[str(defense)])]
        for split in SPLITS:
            part = rows[rows.shown == split].set_index("attack")
            uap, others = part.loc["uap"], part.loc[unseen]
            half = (uap.ci_high - uap.ci_low) / 2
            cells += [f"{uap.clean_accuracy:.3f}", f"{uap.restoration:.3f} <sub>±{half:.3f}</sub>", f"{others.restoration.mean():.3f}"]
        cells += [f"{part.loc['uap'].clean_among:.3f}", f"{part.loc['uap'].among:.3f}"]
        lines.append("| " + " | ".join(cells) + " |")
    images = " and ".join(f"{int(part.images.iloc[0])} of {SPLITS[str(split)]}" for split, part in table.groupby("shown", sort=False))
    note = f"Restoration accuracy (Eq. 9), ± half of its 95 % interval; {images}, none of which an attack or a unit has seen."
    return "\n".join([*lines, "", note])


def sentence(t: Tables) -> str:
    """The paper's own network on photographs, with its numbers beside these: its UAPs, the units, the filters; then the other networks."""
    fools = t["banks"].set_index(["network", "bank"]).fooling_unseen[NETWORK, "uap"]
    before, own = (cell(t, "table2", NETWORK, "uap", defense) for defense in ("undefended", "ours"))
    theirs = [paper.number("2", NETWORK, defense, "uap") for defense in ("undefended", "ours")]
    half = restored(t["fig3"][t["fig3"].network == NETWORK], 0.5).groupby("order").restored.mean()
    strong, known = stronger_than_signs(t["table5"], NETWORK)
    unseen = returned_under(t["table5"], NETWORK, strong)
    span = f"{own.ci_low:.3f} to {own.ci_high:.3f}, on {int(own.images)} photographs"
    parts = [
        f"On ImageNet photographs, the paper's own {TITLES[NETWORK]} with its published weights: UAPs at ξ = {own.xi:g} fool {fools:.2f}",
        f"of photographs they were not made from, and units bring {back(t, NETWORK)} (restoration {before.restoration:.3f} →",
        f"{own.restoration:.3f}, {span}; the paper: {theirs[0]:.3f} → {theirs[1]:.3f}). Under unseen attacks {unseen:.2f} comes back, in",
        f"the mean over the {len(strong)} of {known} that fool more than random signs. The top half of the first layer's filters gives",
        f"back {half['ranked']:.2f} of what UAPs take, a random half {half['random']:.2f}.",
    ]
    others = [str(name) for name in t["table2"].network.unique() if name != NETWORK]
    return " ".join([*parts, *(f"{TITLES[name]}'s units bring {back(t, name)}." for name in others)])


def back(t: Tables, network: str) -> str:
    """What units give back of a network's top-1 under its UAPs, and what they cost."""
    bare, ours = (cell(t, "table2", network, "uap", defense).clean_accuracy for defense in ("undefended", "ours"))
    share, points = returned_under(t["table2"], network, ["uap"]), f"{100 * abs(bare - ours):.1f}"
    cost = "without loss" if points == "0.0" else f"{'at' if ours < bare else 'with a gain of'} {points} points"
    return f"{share:.2f} of the lost top-1 back, {cost} on clean images"


def returned_under(table: pd.DataFrame, network: str, attacks: Sequence[str]) -> float:
    """The share of a network's lost top-1 that units bring back, mean over the attacks."""
    rows = table[table.network == network]
    return sum(returned(rows[rows.attack == attack], "ours") for attack in attacks) / len(attacks)


def stronger_than_signs(table5: pd.DataFrame, network: str) -> tuple[list[str], int]:
    """The unseen attacks that fool the undefended network more than random signs of the same xi do, and how many were tried."""
    fooling = table5[(table5.network == network) & (table5.defense == "undefended")].set_index("attack").fooling_ratio
    tried = fooling.drop(["random_signs", "mean_unseen"])
    return [str(name) for name in tried.index[tried > fooling["random_signs"]]], len(tried)
