"""The paper's claims beside what is measured here: one function for each part of the study, from metrics/ and nothing else."""

import pandas as pd

from regen_lib.study import paper
from regen_lib.study.report.defenses_table import ranked
from regen_lib.study.tables.attacks import at_equal_cost
from regen_lib.study.tables.masking import restored
from regen_lib.study.tables.verdict import on_every_network
from regen_lib.study.titles import ATTACK_TITLES, DEFENSE_TITLES, TITLES

Tables = dict[str, pd.DataFrame]
Finding = tuple[str, str, str]  # the claim, the paper's figure, ours
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


def spread(values: pd.Series, form: str = ".2f") -> str:
    """The range of some values."""
    return f"{values.min():{form}} to {values.max():{form}}"


def findings(tables: Tables, metrics: str) -> str:
    """The paper's claims, one per row: what it says, what the study of ``metrics`` measures, where that is computed and kept."""
    rows = [(*row, links(names, metrics)) for part, evidence in PARTS for row, names in zip(part(tables), evidence, strict=True)]
    return "\n".join(["| claim | paper | here | evidence |", "|---|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)])


def links(names: str, metrics: str) -> str:
    """Links from docs/ to a notebook and tables, given as ``"05_evaluation table2"``: what begins with a digit is a notebook."""
    targets = [(name, f"notebooks/{name}.ipynb" if name[0].isdigit() else f"{metrics}/{name}.csv") for name in names.split()]
    return " · ".join(f"[{name.split('_')[0] if name[0].isdigit() else name}](../{target})" for name, target in targets)


def of_filters(t: Tables) -> list[Finding]:
    """Notebooks 01 and 02."""
    by_layer = t["fig2"].groupby(["network", "depth"])[["spearman", "spearman_drawn"]].first().reset_index()
    first, deep = by_layer[by_layer.depth == 1], by_layer[by_layer.depth > 1]
    noise = f"Spearman {spread(first.spearman)} in first layers, {spread(deep.spearman)} deeper"
    noise += f"; with the norms before training {spread(first.spearman_drawn)} in first layers"
    half = restored(t["fig3"], 0.5).groupby("order").restored
    mean, low = half.mean(), half.min()
    shares = [
        f"{name} {mean[key]:.2f} (lowest {low[key]:.2f})"
        for name, key in (("ranked", "ranked"), ("random", "random"), ("least vulnerable", "reversed"))
    ]
    norms = "filters of large l1 norm carry the noise (Fig. 2)"
    masking = "masking the top half of a first layer restores most of the lost accuracy (Fig. 3)"
    return [
        (norms, "first layers, no figure", noise),
        (masking, "nearly all; no control", f"share restored, mean over networks: {', '.join(shares)}"),
    ]


def of_perturbations(t: Tables) -> list[Finding]:
    """Notebooks 00c and 03."""
    uaps, smaller = (t["banks"][t["banks"].bank == bank] for bank in ("uap", "uap_smaller"))
    own = f"xi {uaps.xi.iloc[0]:g}: means {spread(uaps.fooling_own)}, weakest of each bank {spread(uaps.fooling_own_min, '.3f')}"
    own += f", on test images {spread(uaps.fooling_unseen)}"
    own += f"; xi {smaller.xi.iloc[0]:g}: means {spread(smaller.fooling_own)}, weakest {spread(smaller.fooling_own_min, '.3f')}"
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
    theirs = papers("1", "network != attack", ours="with units")
    cross = f"top-1 {spread(black.undefended, '.3f')} undefended, {spread(black.ours, '.3f')} with units"
    points, measured = spread(100 * (clean.undefended - clean.ours), ".1f"), dots(strong.restoration)
    of_caffenet = paper.numbers().query("table == '4' and defense == 'ours'").value
    return [
        ("units leave clean images alone", "0.1 points gained to 2.2 lost", f"{points} points lost"),
        ("units also help against UAPs made for other networks (Table 1)", theirs, cross),
        (
            f"restoration falls gently with xi (Table 4: {dots(strong.xi, 'g')})",
            f"CaffeNet {dots(of_caffenet)}",
            f"{TITLES[strong.network.iloc[0]]} {measured}",
        ),
    ]


def of_attacks(t: Tables) -> list[Finding]:
    """Notebook 06: the attacks themselves, on undefended networks."""
    unseen = t["unseen"].pivot(index="network", columns="bank", values="fooling_unseen")
    margin = t["margins"].groupby(["attack", "network"]).margin.max().unstack()
    attacks = [bank for bank in t["unseen"].bank.unique() if bank != "random_signs"]
    gain = [
        f"{ATTACK_TITLES[a]} {unseen[a].min():.2f} ({(unseen[a] - unseen.random_signs).min():+.2f}, {margin.loc[a].min():+.2f})"
        for a in attacks
    ]
    equal = at_equal_cost(t["costs"], "uap")
    costs = [f"{ATTACK_TITLES[str(a)]} {spread(equal[a])} ({(equal[a] - equal['uap']).min():+.2f})" for a in equal]
    network = str(margin.loc["gd_uap_data"].idxmin())
    low = t["excitation"].pivot(index="network", columns="attack", values=["excitation", "fooling"]).loc[[network]].iloc[0]
    energy = [
        f"{ATTACK_TITLES[a]} {low['excitation', a]:+.2f} nats, fools {low['fooling', a]:.2f}"
        for a in ("gd_uap_data", "uap", "random_signs")
    ]
    xi = t["margins"].xi.max()
    strong = (
        f"attacks on undefended networks (lowest fooling ratio over networks; above random signs at xi {xi:g}, and at the best xi up to it)"
    )
    fits = "where a pass fits in (range over networks; lowest gain over UAP)"
    return [
        (strong, "", "; ".join(gain)),
        (f"fooling ratio within the work that UAP took, {fits}", "", "; ".join(costs)),
        (
            f"G-UAP raises the energy of activations; that is not what fools {TITLES[network]} (mean gain per convolution)",
            "",
            "; ".join(energy),
        ),
    ]


def of_unseen(t: Tables) -> list[Finding]:
    """Table 5, and again after iterative training."""
    by = t["table5"].pivot_table(index=["attack", "network"], columns="defense", values="restoration")
    held = []
    for attack in t["table5"].attack.unique():
        if attack not in ("random_signs", "mean_unseen"):
            part = by.loc[attack]
            held.append(f"{ATTACK_TITLES[attack]} {part.undefended.mean():.2f} → {part.ours.mean():.2f} (lowest {part.ours.min():.2f})")
    again = t["hardened"].set_index(["network", "attack", "defense"]).restoration
    hard = [
        f"{TITLES[name]} mean {again[name, 'mean_unseen', 'ours']:.2f} → {again[name, 'mean_unseen', 'hardened']:.2f}, "
        f"lowest {again[name].xs('ours', level=1).min():.2f} → {again[name].xs('hardened', level=1).min():.2f}"
        for name in t["hardened"].network.unique()
    ]
    theirs = papers("5", undefended="undefended", ours="with units")
    return [
        ("units hold against attacks they never met (Table 5: restoration, mean over networks)", theirs, "; ".join(held)),
        ("the same after iterative training, which met sPGD but none of the others", "not given", "; ".join(hard)),
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
    white += against_spgd(t["table6"])
    white.append(f"passes {spread(t['table6'].passes, 'g')}, their second half gained at most {t['table6'].late_gain.max():.2f}")
    uap = t["fig6_test"].set_index("defense")
    shown = DEFENSES | {"prn": DEFENSE_TITLES["prn"]}
    both = [f"{name} {uap.fooling_own[key]:.2f} ({uap.fooling_ratio[key]:.2f})" for key, name in shown.items() if key in uap.index]
    reached = ", ".join(both)
    fig6 = ", ".join(f"{name} {paper.number('fig6', 'caffenet', key, 'uap'):g}" for key, name in (("hardened", "hardened"), ("prn", "PRN")))
    network, lost = TITLES[uap.network.iloc[0]], 100 * (uap.clean_accuracy["undefended"] - uap.clean_accuracy["hardened"])
    reached += f"; hardened loses {lost:.1f} points of clean top-1"
    return [
        ("attackers who know the units (Table 6: fooling ratio on test images)", theirs, "; ".join(white)),
        (f"a white-box UAP attacker's best fooling ratio (on test images; Fig. 6: {network})", fig6, reached),
    ]


def against_spgd(table6: pd.DataFrame) -> list[str]:
    """Top-1 of the network and defence that the paper's Table 6 has, under sPGD and on clean images; nothing if it is not there."""
    rows = table6[(table6.network == "resnet152") & (table6.defense == "hardened") & (table6.attack == "spgd")]
    return [f"hardened ResNet-152 under sPGD: top-1 {row.accuracy:.3f} of {row.clean_accuracy:.3f}" for row in rows.itertuples()]


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
    return [("every rival on its home ground (range over networks)", "their own papers", "; ".join(parts))]


def of_choices(t: Tables) -> list[Finding]:
    """Fig. S2, the ratio, clipping."""
    s2, name = t["figS2"].sort_values("value"), TITLES[t["figS2"].network.iloc[0]]
    shares = s2[(s2.sweep == "ratio") & (s2.attack == "uap")].value
    units, ratio = (
        "; ".join(f"{under} {dots(s2[(s2.sweep == sweep) & (s2.attack == attack)].restoration)}" for attack, under in UNDER.items())
        for sweep in ("units", "ratio")
    )
    clip = t["clipping"].groupby(["defense", "clip"]).accuracy.mean()
    both = [f"{defense} {clip[defense, False]:.3f}, clipped {clip[defense, True]:.3f}" for defense in ("undefended", "ours")]
    settings = t["choices"].set_index("defense")
    lost = 100 * (settings.clean_accuracy["undefended"] - settings.clean_accuracy)
    others = [f"{title} {lost[key]:.1f}, {settings.restoration[key]:.3f}" for key, title in CHOICES.items() if key in lost]
    return [
        (f"at most six units are enough (Fig. S2: {name}, 0 to 6 units)", "figure not printed", units),
        (f"half of the filters is enough ({name}, {dots(shares, 'g')} of them)", "figure not printed", ratio),
        ("x + v is not clipped", "not said; the release does not", f"mean top-1 under UAP: {'; '.join(both)}"),
        ("the same for every defence, mean restoration under unseen attacks", "not compared", clipped(t)),
        (f"training of the units ({name}, validation images: points of clean top-1 lost, restoration)", "not compared", "; ".join(others)),
    ]


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
    return ("perturbations that lie further in the span of the training UAPs are restored better", "not asked", measured)


def papers(table: str, which: str = "index == index", **defenses: str) -> str:
    """The range of the paper's numbers in a table, for each of ``defenses`` under its title; ``which`` is a query that chooses rows."""
    found = paper.numbers().query(f"table == {table!r}").query(which)
    return ", ".join(f"{spread(found[found.defense == defense].value, '.3f')} {title}" for defense, title in defenses.items())


def dots(values: pd.Series, form: str = ".3f") -> str:
    """Values in a row."""
    return " · ".join(format(value, form) for value in values)


PARTS = (  # each with the evidence for every row that it gives
    (of_filters, ("01_filter_norms fig2", "02_noise_masking fig3")),
    (of_perturbations, ("05b_choices banks", "05b_choices banks", "03_synthetic_perturbations synthesis")),
    (of_units, ("05_evaluation table2", "05_evaluation table1", "05_evaluation table4")),
    (of_attacks, ("06_unseen_attacks unseen margins", "06_unseen_attacks costs", "06_unseen_attacks excitation")),
    (of_unseen, ("06_unseen_attacks table5", "07c_secondary_attacks hardened", "06_unseen_attacks unseen table5")),
    (of_attackers, ("07c_secondary_attacks table6", "07c_secondary_attacks fig6 fig6_test")),
    (of_home_ground, ("08_defenses home defenses",)),
    (of_choices, ("05b_choices figS2", "05b_choices figS2", "05b_choices clipping", "08_defenses clipped", "05b_choices choices")),
)
