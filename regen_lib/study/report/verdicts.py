"""What holds of the paper and what does not, in six rows with a number each: the README's table, from metrics/ and nothing else."""

import math
from typing import NamedTuple

import pandas as pd

from regen_lib.study.report.defenses_table import condensed, place, ranked
from regen_lib.study.report.names import DEFENSE_TITLES
from regen_lib.study.report.wording import spread
from regen_lib.study.tables.masking import restored

Tables = dict[str, pd.DataFrame]
HOLDS, PARTLY = 0.9, 0.5  # of the top-1 that an attack takes
LOST = 2.2  # points of top-1 that clean images lose at most in the paper
WHITE_BOX = ("spgd", "sga")
UNTRAINED = ("dead_zone", "clamp", "median_filter", "gaussian_blur")
KEEPS_UP = 0.02  # of restoration accuracy


class Verdict(NamedTuple):
    """A row: the claim, what the numbers make of it, the number in words, the tables that it is from."""

    claim: str
    verdict: str
    measured: str
    evidence: tuple[str, ...]


def block(tables: Tables, metrics: str) -> str:
    """The table, with links to the tables in the folder ``metrics``, and below it when a claim counts as holding."""
    rows = [part(tables) for part in (of_filters, of_trained, of_clean, of_unseen, of_white_box, of_places)]
    lines = ["| the paper's claim | verdict | measured here | table |", "|---|---|---|---|"]
    for row in rows:
        links = " · ".join(f"[{name}]({metrics}/{name}.csv)" for name in row.evidence)
        lines.append(f"| {row.claim} | **{row.verdict}** | {row.measured} | {links} |")
    note = (
        f"Shares are means over networks. A claim *holds* if at least {HOLDS:g} of the lost top-1 comes back, *partly* from {PARTLY:g}; "
        f"on clean images it holds up to the {LOST:g} points that the paper's networks lose; leading by one of two measures is *partly*."
    )
    return "\n".join([*lines, "", note])


def grade(share: float) -> str:
    """The verdict on a share of the lost top-1 that comes back; NaN where nothing was lost."""
    if math.isnan(share):
        return "undecided"
    return "holds" if share >= HOLDS else "partly" if share >= PARTLY else "does not"


def returned(rows: pd.DataFrame, defense: str) -> float:
    """Share of the top-1 lost to an attack that ``defense`` brings back, mean over its networks; ``rows``: one a network and defence.

    A network that loses nothing has no part in it; NaN where none does.
    """
    top1 = rows.pivot_table(index="network", columns="defense", values="accuracy")
    clean = rows[rows.defense == "undefended"].groupby("network").clean_accuracy.first()
    lost = clean - top1.undefended
    return float(((top1[defense] - top1.undefended) / lost)[lost > 0].mean())


def is_back(share: float) -> str:
    """A share of :func:`returned` in words."""
    return "nothing was lost" if math.isnan(share) else f"{share:.2f} of the lost top-1 is back"


def of_filters(t: Tables) -> Verdict:
    """Fig. 3: the noise in the upper half of a first layer, and in a random half."""
    half = restored(t["fig3"], 0.5).groupby("order").restored.mean()
    back = f"{half['ranked']:.2f} of the lost top-1 returns when the top half of a first layer's filters is cleaned"
    words = f"{back}; {half['random']:.2f} for a random half"
    return Verdict("Filters of large l1 norm carry most of the noise (Fig. 3)", grade(half["ranked"]), words, ("fig3",))


def of_trained(t: Tables) -> Verdict:
    """Table 2."""
    rows = t["table2"][t["table2"].attack == "uap"]
    share, fooled = returned(rows, "ours"), rows[rows.defense == "undefended"].fooling_ratio
    claim = "Units undo the attack that they were trained on (Table 2)"
    strength = f"the attack fools {spread(fooled)} of the images (the paper's: 0.8)"
    return Verdict(claim, grade(share), f"{is_back(share)}; {strength}", ("table2",))


def of_clean(t: Tables) -> Verdict:
    """Table 2, clean images."""
    clean = t["table2"].pivot_table(index="network", columns="defense", values="clean_accuracy")
    lost = float(100 * (clean.undefended - clean.ours).max())
    return Verdict(
        "Clean images keep their top-1 (Table 2)",
        "holds" if lost <= LOST else "does not",
        f"at most {lost:.1f} points are lost",
        ("table2",),
    )


def of_unseen(t: Tables) -> Verdict:
    """Table 5."""
    share = returned(t["table5"][t["table5"].attack == "mean_unseen"], "ours")
    claim = "Units help against attacks that they never met (Table 5)"
    return Verdict(claim, grade(share), is_back(share), ("table5",))


def of_white_box(t: Tables) -> Verdict:
    """Table 6: hardened units under the worse attacker of each network."""
    rows = t["table6"][t["table6"].attack.isin(WHITE_BOX)]
    worst = rows.groupby(["network", "defense"])[["accuracy", "clean_accuracy"]].min().reset_index()
    share = returned(worst, "hardened")
    claim = "Hardened units withstand attackers who know them (Table 6)"
    return Verdict(claim, grade(share), is_back(share), ("table6",))


def of_places(t: Tables) -> Verdict:
    """Tables 2 to 6, every defence; hardened units are the paper's as well, no other defence."""
    means = condensed(t, None, {})
    orders = [ranked(means[measure]) for measure in ("restoration", "white_box")]
    places = [place(order) for order in orders]
    verdict = "holds" if max(places) == 1 else "partly" if min(places) == 1 else "does not"
    near = [DEFENSE_TITLES[name] for name in level_with_ours(means)]
    level = f" (no telling from {', '.join(near)})" if near else ""
    words = f"place {places[0]} of {len(orders[0])} by mean restoration under unseen attacks{level}, {places[1]} in the white box"
    return Verdict("No other defence does better (Tables 2-6)", verdict, words, ("defenses", "table6_defenses"))


def level_with_ours(means: pd.DataFrame) -> list[str]:
    """The defences whose mean restoration differs from ours by less than the interval of the difference, over images."""
    order = ranked(means.restoration).drop("ours")
    apart = (order - means.restoration["ours"]).abs()
    return [str(name) for name in order.index if apart[name] <= math.hypot(means.half[name], means.half["ours"])]


def untrained(t: Tables) -> str:
    """Whether a rule that nothing was learned for keeps up with the units, in a sentence."""
    means = condensed(t, None, {}).restoration
    best = means[[name for name in UNTRAINED if name in means]].sort_values(ascending=False)
    title = DEFENSE_TITLES[str(best.index[0])].removesuffix(" (untrained)")
    rule = f"Under unseen attacks an untrained rule, {title}, restores {best.iloc[0]:.3f} on average"
    measured = f"{rule}, the trained units {means['ours']:.3f}"
    ranks = (
        "it falls behind"
        if best.iloc[0] < means["ours"] - KEEPS_UP
        else "where a rule this simple keeps up, these images cannot rank defences"
    )
    return f"{measured}: {ranks}."
