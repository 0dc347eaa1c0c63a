"""The paper's claims on its defence and on others beside what is measured here, from metrics/ and nothing else."""

import pandas as pd

from regen_lib.study import paper
from regen_lib.study.report.defenses_table import ranked
from regen_lib.study.report.names import ATTACK_TITLES, DEFENSE_TITLES, TITLES
from regen_lib.study.report.verdicts import grade, returned
from regen_lib.study.report.wording import BREAK, SAME, Finding, Tables, dots, on_networks, papers, spread
from regen_lib.study.tables.verdict import on_every_network

DEFENSES = {"undefended": "undefended", "ours": "with units", "hardened": "hardened"}
CHOICES = {
    "units6": "as here",
    "conv1": "conv1 alone, all of its filters",
    "narrow": "D = N",
    "wide": "D = 2 N",
    "he": "last convolution from He",
    "half": "half of the images perturbed",
    "drops": "rate in the paper's drops",
}
UNDER = {"uap": "under UAPs", "mean_unseen": "under unseen attacks"}


def of_unseen(t: Tables) -> list[Finding]:
    """Table 5, and again after iterative training."""
    by = t["table5"][t["table5"].attack != "random_signs"].pivot_table(index=["attack", "network"], columns="defense", values="restoration")
    mean, each = by.loc["mean_unseen"], by.drop("mean_unseen")
    worst = int(each.ours.argmin())
    attack, network = (each.index.get_level_values(level)[worst] for level in ("attack", "network"))
    held = [
        f"mean over the attacks {spread(mean.undefended)} undefended, {spread(mean.ours)} with units",
        f"at worst {each.ours.min():.2f} ({ATTACK_TITLES[attack]}, {TITLES[network]}; undefended {each.undefended.iloc[worst]:.2f})",
    ]
    share = returned(t["table5"][t["table5"].attack == "mean_unseen"], "ours")
    again = t["hardened"].set_index(["network", "attack", "defense"]).restoration
    hard = [
        f"{TITLES[name]} mean {again[name, 'mean_unseen', 'ours']:.2f} → {again[name, 'mean_unseen', 'hardened']:.2f}, "
        f"lowest {again[name].xs('ours', level=1).min():.2f} → {again[name].xs('hardened', level=1).min():.2f}"
        for name in t["hardened"].network.unique()
    ]
    theirs = papers("5", undefended="undefended", ours="with units")
    return [
        ("units hold against attacks they never met (Table 5: restoration, range over networks)", theirs, BREAK.join(held), grade(share)),
        ("the same after iterative training, which met sPGD but none of the others", "not given", BREAK.join(hard), ""),
        in_the_span(t),
    ]


def of_attackers(t: Tables) -> list[Finding]:
    """Table 6, Fig. 6."""
    known = t["table6"].groupby(["attack", "defense"]).fooling_ratio
    theirs = f"hardened ResNet-152 under sPGD: top-1 {paper.number('6', 'resnet152', 'hardened', 'spgd'):.3f} "
    theirs += f"of {paper.number('clean', 'resnet152', 'undefended', 'none'):.3f}"
    white = []
    for attack in t["table6"].attack.unique():
        each = [f"{name} {spread(known.get_group((attack, defense)))}" for defense, name in DEFENSES.items()]
        white.append(f"{ATTACK_TITLES[attack]}: {', '.join(each)}")
    known_to_paper, verdict = against_spgd(t["table6"])
    white += known_to_paper
    white.append(f"passes {spread(t['table6'].passes, 'g')}, their second half gained at most {t['table6'].late_gain.max():.2f}")
    withstand = "hardened units withstand attackers who know them (Table 6: fooling ratio on test images)"
    return [(withstand, theirs, BREAK.join(white), verdict), curves(t["fig6_test"])]


def against_spgd(table6: pd.DataFrame) -> tuple[list[str], str]:
    """Top-1 of the network and defence that the paper's Table 6 has, under sPGD and on clean images; the verdict. Nothing without it."""
    rows = table6[(table6.network == "resnet152") & (table6.defense == "hardened") & (table6.attack == "spgd")]
    share = paper.number("6", "resnet152", "hardened", "spgd") / paper.number("clean", "resnet152", "undefended", "none")
    words = [f"hardened ResNet-152 under sPGD: top-1 {row.accuracy:.3f} of {row.clean_accuracy:.3f}" for row in rows.itertuples()]
    return words, on_networks(rows.accuracy / rows.clean_accuracy >= share - SAME) if words else ""


def curves(fig6: pd.DataFrame) -> Finding:
    """Fig. 6: the best of the attacker's perturbations, and what the figure draws, their mean, on test images."""
    uap, shown = fig6.set_index("defense"), DEFENSES | {"prn": DEFENSE_TITLES["prn"]}
    reached = [f"{name} {uap.fooling_own[key]:.2f} ({uap.fooling_ratio[key]:.2f})" for key, name in shown.items() if key in uap.index]
    lost = 100 * (uap.clean_accuracy["undefended"] - uap.clean_accuracy["hardened"])
    gained = f"hardened {'gains' if lost < 0 else 'loses'} {abs(lost):.1f} points of clean top-1"
    known = (("hardened", "hardened"), ("prn", "PRN"))
    theirs = ", ".join(f"{name} {paper.number('fig6', 'caffenet', key, 'uap'):g}" for key, name in known)
    where = f"{TITLES[fig6.network.iloc[0]]}: the best fooling ratio on its own images, in brackets that on test images"
    return (
        f"hardening holds off a white-box UAP attacker (Fig. 6, {where})",
        theirs,
        BREAK.join([*reached, gained]),
        "holds" if uap.fooling_own["hardened"] < uap.fooling_own["ours"] - SAME else "does not",
    )


def of_home_ground(t: Tables) -> list[Finding]:
    """Notebook 08: whether each rival does here what it was made for."""
    table = t["defenses"]
    uaps = table[table.attack == "uap"].groupby("defense").restoration
    parts = [
        f"{DEFENSE_TITLES[d]} restoration under UAPs {spread(uaps.get_group(d))}" for d in ("prn", "prn_det", "hgd") if d in uaps.groups
    ]
    by = t["home"].groupby(["measure", "defense"]).value
    longer = {"found": "UAP images found", "lowest draw": "lowest draw under UAPs", "highest draw": "highest draw under UAPs"}
    for (measure, defense), values in by:
        parts.append(f"{DEFENSE_TITLES[str(defense)]}, {longer.get(str(measure), str(measure))} {spread(values)}")
    return [("every rival on its home ground (range over networks)", "their own papers", BREAK.join(parts), "")]


def of_choices(t: Tables) -> list[Finding]:
    """Fig. S2, the ratio, clipping."""
    s2, name = t["figS2"].sort_values("value"), TITLES[t["figS2"].network.iloc[0]]
    counts, shares = (s2[(s2.sweep == sweep) & (s2.attack == "uap")].value for sweep in ("units", "ratio"))
    units, ratio = (
        BREAK.join(f"{under} {dots(s2[(s2.sweep == sweep) & (s2.attack == attack)].restoration)}" for attack, under in UNDER.items())
        for sweep in ("units", "ratio")
    )
    clip = t["clipping"].groupby(["defense", "clip"]).accuracy.mean()
    both = [f"{defense} {clip[defense, False]:.3f}, clipped {clip[defense, True]:.3f}" for defense in ("undefended", "ours")]
    settings = t["choices"].set_index("defense")
    lost = 100 * (settings.clean_accuracy["undefended"] - settings.clean_accuracy)
    others = [f"{title} {lost[key]:.1f}, {settings.restoration[key]:.3f}" for key, title in CHOICES.items() if key in lost]
    enough, half = (on_networks(short_of_best(s2, *chosen) <= SAME) for chosen in (("units", s2.value.max()), ("ratio", 0.5)))
    trained = f"training of the units ({name}, validation images: points of clean top-1 lost, restoration)"
    return [
        (f"more units restore more (Fig. S2: {name}, {dots(counts, 'g')} units)", "figure not printed", units, enough),
        (f"half of the filters is enough ({name}, {dots(shares, 'g')} of them)", "figure not printed", ratio, half),
        ("x + v is not clipped", "not said; the release does not", f"mean top-1 under UAP: {'; '.join(both)}", ""),
        ("the same for every defence, mean restoration under unseen attacks", "not compared", clipped(t), ""),
        (trained, "not compared", BREAK.join(others), ""),
    ]


def short_of_best(s2: pd.DataFrame, sweep: str, value: float) -> pd.Series:
    """By how much the restoration at ``value`` of a sweep is below the sweep's best, under each of :data:`UNDER`."""
    by = s2[(s2.sweep == sweep) & s2.attack.isin(list(UNDER))].pivot_table(index="attack", columns="value", values="restoration")
    return by.max(axis=1) - by[value]


def clipped(t: Tables) -> str:
    """What clipping x + v changes for the defences that all networks have: mean restoration, and places."""
    means = [
        on_every_network(t[table][t[table].attack == "mean_unseen"]).groupby("defense").restoration.mean()
        for table in ("defenses", "clipped")
    ]
    before, after = (list(ranked(values).index) for values in means)
    moved = [
        f"{DEFENSE_TITLES[name]} {before.index(name) + 1} → {after.index(name) + 1}"
        for name in before
        if before.index(name) != after.index(name)
    ]
    places = f"places that change: {', '.join(moved)}" if moved else "no place changes"
    return f"clipped, {spread(means[1] - means[0], '+.3f')}; {places}"


def in_the_span(t: Tables) -> Finding:
    """Whether units restore more under perturbations that lie closer to those that they learned from."""
    ours = t["table5"][t["table5"].defense == "ours"].rename(columns={"attack": "bank"})
    both = t["unseen"].merge(ours[["network", "bank", "restoration"]], on=["network", "bank"])
    both = both[both.bank != "random_signs"]
    ranks = both.groupby("network")[["span_train", "restoration"]].rank()
    related = ranks.assign(network=both.network).groupby("network")[["span_train", "restoration"]].corr().iloc[0::2, -1]
    measured = (
        f"share of the energy there {spread(both.span_train)}; Spearman's correlation with restoration, by network, {spread(related)}"
    )
    return ("restoration against the share of a perturbation's energy in the span of the training UAPs", "not asked", measured, "")
