"""What the study of photographs says: on the classes that its units have seen and on others, and in a sentence for the README."""

import pandas as pd

from regen_lib.study import paper
from regen_lib.study.report.defenses_table import MET
from regen_lib.study.report.results import cell
from regen_lib.study.tables.masking import restored
from regen_lib.study.titles import ATTACK_TITLES, DEFENSE_TITLES, TITLES

Tables = dict[str, pd.DataFrame]
SPLITS = {"test": "the ten classes", "others": "other classes"}
UNITS = {  # the sets of units that the ablation trains for this table, each for as long as the first
    "units6": "trained a sixth as long",
    "labels": "as that, towards the labels",
    "release": "as that, the release's 14 units",
    "images1500": "as that, on 1,500 photographs",
    "images500": "as that, on 500 photographs",
}
NETWORK = "googlenet"  # the paper's own


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
    """The paper's own network on photographs: its UAPs, the units, the filters, with the paper's numbers beside them."""
    banks = t["banks"].set_index(["network", "bank"]).fooling_unseen
    shown = (("table2", "uap"), ("table3", "uap_l2"), ("table5", "mean_unseen"))
    own, l2, unseen = (cell(t, table, NETWORK, attack, "ours") for table, attack in shown)
    lost = 100 * (cell(t, "table2", NETWORK, "uap", "undefended").clean_accuracy - own.clean_accuracy)
    half = restored(t["fig3"][t["fig3"].network == NETWORK], 0.5).groupby("order").restored.mean()
    theirs = {name: paper.number(table, NETWORK, "ours", attack) for name, table, attack in (("own", "2", "uap"), ("l2", "3", "uap_l2"))}
    parts = [
        f"On ImageNet photographs, the paper's own {TITLES[NETWORK]} with its published weights: UAPs at ξ = {own.xi:g} fool",
        f"{banks[NETWORK, 'uap']:.2f} of photographs they were not made from; units restore {own.restoration:.3f} (the paper:",
        f"{theirs['own']:.3f}), under l2 {l2.restoration:.3f} ({theirs['l2']:.3f}), in the mean over unseen attacks",
        f"{unseen.restoration:.3f}, at {lost:.1f} points of clean top-1. The top half of its first layer's filters gives back",
        f"{half['ranked']:.2f} of what UAPs take, a random half {half['random']:.2f}.",
    ]
    return " ".join(parts)
