"""The paper's claims beside what is measured here: one function for each part of the study, from metrics/ and nothing else."""

import pandas as pd

from regen_lib.study import paper
from regen_lib.study.report.claims_of_defenses import of_attackers, of_choices, of_home_ground, of_unseen
from regen_lib.study.report.names import ATTACK_TITLES, TITLES
from regen_lib.study.report.verdicts import LOST, grade, returned
from regen_lib.study.report.wording import BREAK, Finding, Tables, arrows, dots, on_networks, papers, spread
from regen_lib.study.tables.attacks import at_equal_cost
from regen_lib.study.tables.masking import restored

TIGHT = 0.7  # Spearman's correlation of norm and noise
FOOLED, ALIKE = 0.8, 0.15  # the paper's bounds on a UAP: the images that it fools, the inner product with others
COPIES = 0.99  # a cosine
RETRAINED = ("shared_adversarial_training", "adversarial_training")  # defences that train the whole network
FEW = 0.1  # of the weights: "up to 90 % less"
NOTE = (
    "A claim *holds* if it does on every network, *partly* if on some; where top-1 comes back, as in the README's table. "
    "What the paper does not claim, or this study cannot decide, has no verdict."
)


def findings(tables: Tables, metrics: str) -> str:
    """The paper's claims, one per row: what it says, what the study of ``metrics`` measures, where that is computed and kept."""
    lines = ["| claim | verdict | paper | here | evidence |", "|---|---|---|---|---|"]
    for part, evidence in PARTS:
        for (claim, theirs, ours, verdict), names in zip(part(tables), evidence, strict=True):
            lines.append(f"| {claim} | {f'**{verdict}**' if verdict else ''} | {theirs} | {ours} | {links(names, metrics)} |")
    return "\n".join([*lines, "", NOTE])


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
        (norms, "first layers, no figure", noise, on_networks(first.groupby("network").spearman.first() >= TIGHT)),
        (masking, "nearly all; no control", f"share restored, mean over networks: {', '.join(shares)}", grade(mean["ranked"])),
    ]


def of_perturbations(t: Tables) -> list[Finding]:
    """Notebooks 00c and 03."""
    uaps, smaller = (t["banks"][t["banks"].bank == bank] for bank in ("uap", "uap_smaller"))
    own = f"xi {uaps.xi.iloc[0]:g}: means {spread(uaps.fooling_own)}, weakest of each bank {spread(uaps.fooling_own_min, '.3f')}"
    own += f", on test images {spread(uaps.fooling_unseen)}"
    own += f"{BREAK}xi {smaller.xi.iloc[0]:g}: means {spread(smaller.fooling_own)}, weakest {spread(smaller.fooling_own_min, '.3f')}"
    walks = t["synthesis"][t["synthesis"].method == "paper"]
    made = f"median cosine with the nearest member {spread(walks.cosine_median, '.3f')}, effective members {spread(walks.mixed_median)}"
    return [
        ("UAPs fool at least 0.8 of the images they are made from", "xi 10: 0.8", own, on_networks(uaps.fooling_own >= FOOLED)),
        (
            "UAPs of one network are nearly orthogonal",
            "at most 0.15",
            f"largest inner product {spread(uaps.cosine_max)}",
            on_networks(uaps.cosine_max <= ALIKE),
        ),
        (
            "Algorithm 1 makes new perturbations",
            "2,000 from 25",
            f"{made}, steps {spread(walks.steps_median, '.0f')}",
            on_networks(walks.cosine_median < COPIES),
        ),
    ]


def of_units(t: Tables) -> list[Finding]:
    """Tables 1 to 5."""
    t1, clean = t["table1"], t["table2"].pivot_table(index="network", columns="defense", values="clean_accuracy")
    black = t1[t1.network != t1.attack_network].pivot_table(index=["network", "attack_network"], columns="defense", values="accuracy")
    theirs = papers("1", "network != attack", ours="with units")
    cross = f"top-1 {spread(black.undefended, '.3f')} undefended, {spread(black.ours, '.3f')} with units"
    lost = 100 * (clean.undefended - clean.ours)
    points = f"{spread(lost, '.1f')} points lost"
    return [
        ("units leave clean images alone", "0.1 points gained to 2.2 lost", points, on_networks(lost <= LOST)),
        (
            "units also help against UAPs made for other networks (Table 1)",
            theirs,
            cross,
            on_networks((black.ours > black.undefended).groupby("network").all()),
        ),
        stronger(t["table4"]),
        fewer_weights(t["defense_costs"]),
    ]


def stronger(table4: pd.DataFrame) -> Finding:
    """Table 4, both with and without units."""
    here = table4.pivot_table(index="xi", columns="defense", values="restoration")
    theirs = paper.numbers().query("table == '4'")
    both = {name: theirs[theirs.defense == name].value for name in ("undefended", "ours")}
    return (
        f"restoration falls gently with xi (Table 4: {dots(pd.Series(here.index), 'g')}; undefended → with units)",
        f"CaffeNet {arrows(both['undefended'], both['ours'])}",
        f"{TITLES[table4.network.iloc[0]]} {arrows(here.undefended, here.ours)}",
        grade(returned(table4[table4.xi == table4.xi.max()], "ours")),
    )


def fewer_weights(costs: pd.DataFrame) -> Finding:
    """The weights of the units beside those of the whole network, where a defence trains these."""
    trained = costs.pivot_table(index="network", columns="defense", values="parameters")
    retrained = next((trained[name] for name in RETRAINED if name in trained), None)
    if retrained is None:
        measured, verdict = "no network was trained whole", ""
    else:
        share = trained.ours / retrained
        measured, verdict = f"{spread(share)} of the network's", "holds" if share.min() <= FEW else "does not"
    return ("units have far fewer weights to train than the network", f"as little as {FEW:g}", measured, verdict)


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
        f"{ATTACK_TITLES[a]} {low['excitation', a]:+.2f} nats a convolution, fools {low['fooling', a]:.2f}"
        for a in ("gd_uap_data", "uap", "random_signs")
    ]
    at, most, excited = t["unseen"].xi.iloc[0], t["margins"].xi.max(), t["excitation"].xi.iloc[0]
    strong = (
        f"attacks on undefended networks (lowest fooling ratio over networks at xi {at:g}; above random signs there, and at the best xi"
    )
    strong += f" up to {most:g})"
    fits = "where a pass fits in (range over networks; lowest gain over UAP)"
    energies = f"the energy of activations, which G-UAP raises, beside what fools ({TITLES[network]}, xi {excited:g})"
    return [
        (strong, "", BREAK.join(gain), ""),
        (f"fooling ratio within the work that UAP took, {fits}", "", BREAK.join(costs), ""),
        (energies, "", BREAK.join(energy), ""),
    ]


PARTS = (  # each with the evidence for every row that it gives
    (of_filters, ("01_filter_norms fig2", "02_noise_masking fig3")),
    (of_perturbations, ("05b_choices banks", "05b_choices banks", "03_synthetic_perturbations synthesis")),
    (of_units, ("05_evaluation table2", "05_evaluation table1", "05_evaluation table4", "08_defenses defense_costs")),
    (of_attacks, ("06_unseen_attacks unseen margins", "06_unseen_attacks costs", "06_unseen_attacks excitation")),
    (of_unseen, ("06_unseen_attacks table5", "07c_secondary_attacks hardened", "06_unseen_attacks unseen table5")),
    (of_attackers, ("07c_secondary_attacks table6", "07c_secondary_attacks fig6 fig6_test")),
    (of_home_ground, ("08_defenses home defenses",)),
    (of_choices, ("05b_choices figS2", "05b_choices figS2", "05b_choices clipping", "08_defenses clipped", "05b_choices choices")),
)
