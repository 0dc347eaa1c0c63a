"""What one section of params.yaml says of another: banks, networks, layers and defences that are named must be there, tables must get what
they show, and perturbations that test must come from other images than those that units learn from.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from regen_lib.core.options import Mistake
from regen_lib.defenses import UNITS
from regen_lib.study.rows import RecipeSection

TRAIN = "uaps.banks.train"  # where the bank is that units learn from first
NEEDED = ("train", "uap")  # banks of every study: what units learn from, and Table 1
WHOLE = ("uap_smaller", "uap_l2", "tuning", "random_signs", "random_l2")  # and what Tables 2 to 4 and the choice of settings take
REFERENCE = "units6"  # the variant that other settings are compared with
CONTROL = "random_signs"  # the attack that is none, and its bank
MET = ("train", "tuning", "uap", "uap_l2")  # banks of the attack that every defence met
NO_BANKS = ("clean", "mean_unseen", "mean_all")  # what tables and figures call by these names is no bank
ROUNDS = ("round", "members", "loss")  # columns of notebook 07a, beside one for each attack
OWN = ("undefended", *UNITS)  # the paper's own comparison; no set of units beside them has such a name
FIG6 = "uap"  # the attacker of Fig. 6
MASKED = (0, 0.5)  # what comes back is measured between these fractions of the filters
NO_BANK = "no such bank: give it a row in uaps or unseen"
Params = Mapping[str, Any]


def mistakes(params: Params) -> Iterator[Mistake]:
    """Every name in whole ``params`` that nothing there has, and every two values that contradict each other."""
    yield from networks(params)
    yield from banks(params)
    yield from named(params)
    yield from generalization(params)
    yield from shown(params)
    yield from apart(params)
    yield from defenses(params)
    yield from variants(params)
    yield from swept(params)


def groups(params: Params) -> dict[str, Params]:
    """The groups of a network's own banks, by where they are."""
    own = {"uaps": params["uaps"], "strengths": params["strengths"]}
    return own | {f"unseen.{name}": group for name, group in params["unseen"].items()}


def all_banks(params: Params) -> dict[str, Any]:
    """Every network's own banks by name."""
    return {name: row for group in groups(params).values() for name, row in group["banks"].items()}


def on_all_networks(params: Params) -> set[str]:
    """The names of the banks that every network has."""
    return all_banks(params).keys() - params["strengths"]["banks"].keys()


def missing(key: str, names: Any, known: Any, remedy: str) -> Iterator[Mistake]:
    """A mistake for each of the ``names`` at ``key`` that is not ``known``; one name, or a list of them."""
    several = isinstance(names, list)
    for index, name in enumerate(names if several else [names]):
        if name not in known:
            yield Mistake(f"{key}.{index}" if several else key, name, remedy)


def complete(key: str, names: list[Any], known: Any, remedy: str, needed: tuple[Any, ...], why: str) -> Iterator[Mistake]:
    """The :func:`missing` of a list; where nothing is, a mistake if the list has not all that is ``needed``."""
    if wrong := list(missing(key, names, known, remedy)):
        yield from wrong  # a name that is spelled wrongly is one mistake, not two
    elif lacks := [str(name) for name in needed if name not in names]:
        yield Mistake(key, names, f"lacks {' and '.join(lacks)}, {why}: add {'them' if lacks[1:] else 'it'}")


def networks(params: Params) -> Iterator[Mistake]:
    """Of networks."""
    studied = params["study"]["networks"]
    for section in ("networks", "units"):
        yield from missing("study.networks", studied, params[section], f"network without a row in {section}: give it one there")
    remedy = f"choose from study.networks: {', '.join(studied)}"
    yield from missing("ablation.network", params["ablation"]["network"], studied, remedy)
    yield from missing("strengths.network", params["strengths"]["network"], studied, remedy)
    yield from missing("examples.network", params["examples"]["network"], studied, remedy)
    hardened = params["secondary"]["hardened"]
    yield from missing("secondary.hardened", hardened, studied, remedy)
    yield from missing(
        "secondary.fig6_network", params["secondary"]["fig6_network"], hardened, f"choose from secondary.hardened: {', '.join(hardened)}"
    )
    for name in params["units"]:
        yield from missing(f"units.{name}", name, params["networks"], "no such row in networks: add it there, or remove this one")


def banks(params: Params) -> Iterator[Mistake]:
    """Of banks."""
    seen: dict[str, str] = {}
    for section, group in groups(params).items():
        for bank in group["banks"]:
            if bank in seen:
                yield Mistake(f"{section}.banks.{bank}", bank, f"{seen[bank]} has a bank of that name too: rename one of them")
            seen.setdefault(bank, section)
    for bank in NEEDED:
        if bank not in params["uaps"]["banks"]:
            yield Mistake(f"uaps.banks.{bank}", ..., "is missing: every study needs this bank, give it a row")
    if not params["real_images"]:  # a study that names a table of its own may stop there
        for bank in WHOLE:
            if bank not in seen:
                yield Mistake(f"uaps.banks.{bank}", ..., "is missing: the notebooks 05 and 05b take it, give it a row in uaps or unseen")
    known = on_all_networks(params)
    for section, key in (("filter_norms", "bank"), ("masking", "bank"), ("examples", "shown"), ("comparison", "targeted")):
        yield from missing(f"{section}.{key}", params[section][key], known, NO_BANK)
    if REFERENCE not in params["ablation"]["variants"]:
        yield Mistake(f"ablation.variants.{REFERENCE}", ..., "is missing: other settings are compared with it, give it a row")
    for name, table in params["real_images"].items():
        yield from missing(f"real_images.{name}.attacks", table["attacks"], known, NO_BANK)
        yield from units_beside(params, f"real_images.{name}.variants", table["variants"], table["reads"])
    attackers, remedy = params["secondary"]["white_box"]["banks"], "no such bank: give it a row in secondary.white_box"
    yield from missing("secondary.evaluation.attacks", params["secondary"]["evaluation"]["attacks"], attackers, remedy)
    yield from missing("comparison.white_box", params["comparison"]["white_box"], attackers, remedy)


def named(params: Params) -> Iterator[Mistake]:
    """Of names that something else has: tables would show the one for the other."""
    for place, group in groups(params).items():
        for bank in sorted(group["banks"].keys() & {*NO_BANKS}):
            yield Mistake(f"{place}.banks.{bank}", bank, "tables and figures call something else so: rename the bank")
    for attack in sorted(params["secondary"]["training"]["attacks"].keys() & {*ROUNDS}):
        why = "the table of rounds has another column of that name: rename the attack"
        yield Mistake(f"secondary.training.attacks.{attack}", attack, why)
    variants, choices = (params["ablation"][key].keys() for key in ("variants", "choices"))
    for key, names in (("variants", variants), ("choices", choices)):
        for name in sorted(names & {*OWN}):
            yield Mistake(f"ablation.{key}.{name}", name, "the study has a defence of that name: rename these units")
    for name in sorted((variants & choices) - {*OWN}):
        yield Mistake(f"ablation.choices.{name}", name, "ablation.variants has units of that name too: rename one of them")


def generalization(params: Params) -> Iterator[Mistake]:
    """Of notebook 06: attacks that no defence met, their control, and what their costs are measured by."""
    given, known = params["generalization"], on_all_networks(params)
    yield from missing("generalization.attacks", given["attacks"], known, NO_BANK)
    yield from averaged(given["attacks"], {name: row for name, row in all_banks(params).items() if name in known})
    if wrong := list(missing("generalization.control", given["control"], known, NO_BANK)):
        yield from wrong
    elif given["control"] != CONTROL:
        yield Mistake("generalization.control", given["control"], f"tables and report take {CONTROL} for the control: give that")
    yield from complete("generalization.costs", given["costs"], known, NO_BANK, ("uap",), "whose work is the measure")


def averaged(attacks: list[str], rows: Params) -> Iterator[Mistake]:
    """Of attacks that means are taken over: none that defences met, and all of one threat."""
    threats = {name: (rows[name]["norm"], rows[name]["xi"]) for name in attacks if name in rows and name not in (*MET, CONTROL)}
    usual = Counter(threats.values()).most_common(1)
    for index, name in enumerate(attacks):
        if name in (*MET, CONTROL) and name in rows:
            why = "means are over attacks that no defence met, without the control: name others"
            yield Mistake(f"generalization.attacks.{index}", name, why)
        elif name in threats and threats[name] != usual[0][0]:
            yield Mistake(
                f"generalization.attacks.{index}", name, "has another norm or xi than the others, and means are of one: remove it"
            )


def shown(params: Params) -> Iterator[Mistake]:
    """Of what tables and figures cannot do without, and of what would be written into one file."""
    fractions, secondary = params["masking"]["fractions"], params["secondary"]
    yield from complete("masking.fractions", fractions, fractions, "", MASKED, "where what comes back is measured")
    known, remedy = (*OWN, *params["rivals"]), "no such defence: give it a row in rivals"
    yield from complete("secondary.fig6_defenses", secondary["fig6_defenses"], known, remedy, OWN, "which Fig. 6 compares")
    if FIG6 not in secondary["fig6"]["banks"]:
        yield Mistake(f"secondary.fig6.banks.{FIG6}", ..., "is missing: Fig. 6 shows this attacker, give it a row")
    if len(tables := list(params["real_images"])) > 1:
        yield Mistake("real_images", tables, "each would be written to metrics/real_images.csv: keep one")


def apart(params: Params) -> Iterator[Mistake]:
    """Of the images that perturbations are made from: banks that test, or choose settings, share none with those that units learn from."""
    hardening = params["secondary"]["training"]["attacks"]
    learned = {f"secondary.training.attacks.{name}": row for name, row in hardening.items()}
    if train := params["uaps"]["banks"].get("train"):
        learned[TRAIN] = train
    for place, row in learned.items():
        if row["split"] != "train":
            yield Mistake(place, row["split"], "units learn from this bank, and other images are there to test with: give it split: train")
    for section, group in groups(params).items():
        for name, row in group["banks"].items():
            if name != "train" and row["attack"] != CONTROL:  # random signs are made from no image
                yield from shared(f"{section}.banks.{name}", row, learned)


def shared(place: str, row: Params, learned: Params) -> Iterator[Mistake]:
    """A mistake where the bank at ``place`` is made from some of the images of those that units learn from."""
    chooses = place.endswith(".tuning")  # settings of units that have not been hardened
    for other, source in learned.items():
        if overlap(row, source) and (other == TRAIN or not chooses):
            last = source["start"] + source["images"] - 1
            why = f"units learn from {other}, made from the training images {source['start']} to {last}"
            if chooses:
                yield Mistake(f"{place}.start", row["start"], f"{why}: start {place} after them, or give fewer there")
            else:
                yield Mistake(f"{place}.split", row["split"], f"{why}, and {place} is to test them: give validation")
            return


def overlap(bank: Params, other: Params) -> bool:
    """Whether two banks are made from some of the same training images."""
    both = bool(bank["split"] == other["split"] == "train")
    return both and bank["start"] < other["start"] + other["images"] and other["start"] < bank["start"] + bank["images"]


def units_beside(params: Params, key: str, variants: Mapping[str, list[str]], reads: str) -> Iterator[Mistake]:
    """Of sets of units, by network, from one of the two places where they are trained."""
    if reads == "ablation":
        networks, sets = [params["ablation"]["network"]], params["ablation"]["variants"].keys() | params["ablation"]["choices"].keys()
    else:
        networks, sets = params["study"]["networks"], params["training"]["variants"].keys()
    for network, wanted in variants.items():
        yield from missing(f"{key}.{network}", network, networks, f"units of {reads} are those of {', '.join(networks)}: choose there")
        yield from missing(f"{key}.{network}", wanted, sets, "no such set of units: give it a row where they are trained")


def defenses(params: Params) -> Iterator[Mistake]:
    """Of the order in which defences can be built."""
    rivals = params["rivals"]
    bases = {name: row["built_on"].removeprefix("defenses/") for name, row in rivals.items()}
    for name, row in rivals.items():
        way, base = [name], row["built_on"]
        if base != "networks" and (base != f"defenses/{bases[name]}" or bases[name] not in rivals):
            yield Mistake(f"rivals.{name}.built_on", base, "choose networks, or defenses/ and the name of another row")
            continue
        while (below := bases[way[-1]]) in rivals and below not in way:
            way.append(below)
        if below in way and name == min(circle := way[way.index(below) :]):
            yield Mistake(f"rivals.{name}.built_on", base, f"is built on itself ({' on '.join([*circle, name])}): build one on networks")


def variants(params: Params) -> Iterator[Mistake]:
    """Of sets of units: that of the study is called ours, and each has a recipe that can be trained by."""
    for name in params["training"]["variants"].keys() ^ {"ours"}:
        there = name in params["training"]["variants"]
        why = (
            "the study trains one, called ours: move others to ablation.variants"
            if there
            else "is missing: give it, the study trains this one"
        )
        yield Mistake(f"training.variants.{name}", params["training"]["variants"].get(name, ...), why)
    for section, key in (("training", "variants"), ("ablation", "variants"), ("ablation", "choices")):
        for name, row in params[section][key].items():
            try:
                recipe = RecipeSection(**(params[section]["recipe"] | (row.get("recipe") or {})))
                if row.get("images") and row["images"] < (needed := recipe.images or recipe.batch):
                    yield Mistake(f"{section}.{key}.{name}.images", row["images"], f"its recipe takes {needed}: give as many, or it fewer")
            except ValidationError as error:
                yield Mistake(f"{section}.{key}.{name}.recipe", row["recipe"], error.errors()[0]["msg"].removeprefix("Value error, "))


def placed(params: Params) -> Iterator[Mistake]:
    """Of where units can be: more than there are layers for would be counted, and not be there. To be asked as :func:`pictured` is."""
    studied, ablated = params["study"]["networks"], [params["ablation"]["network"]]
    for section, key, networks in (("training", "variants", studied), ("ablation", "variants", ablated), ("ablation", "choices", ablated)):
        for name, row in params[section][key].items():
            own = row.get("layers")
            layers = [own] if own else [params["units"][network] for network in networks if network in params["units"]]
            if layers and row["units"] > (most := max(map(len, layers))):
                why = f"its layers are {most}" if own else f"units names at most {most} layers for {', '.join(networks)}"
                yield Mistake(f"{section}.{key}.{name}.units", row["units"], f"{why}: give no more, or name more there")
    most = max((len(params["units"][network]) for network in studied if network in params["units"]), default=0)
    if (masked := params["masking"]["layers"]) > most > 0:
        yield Mistake("masking.layers", masked, f"units names at most {most} layers of a network: give no more")


def pictured(params: Params) -> Iterator[Mistake]:
    """Of the filter that Fig. 5 shows before and after its unit; to be asked where the layers of ``units`` are known to be right."""
    examples, ours = params["examples"], params["training"]["variants"].get("ours")
    if ours and (layers := ours.get("layers") or params["units"].get(examples["network"])):
        layered = list(layers)[: ours["units"]]
        yield from missing("examples.layer", examples["layer"], layered, f"has no unit to be shown: choose from {', '.join(layered)}")


def swept(params: Params) -> Iterator[Mistake]:
    """Of the points of Fig. S2."""
    points: dict[tuple[int, float], str] = {}
    for name, row in params["ablation"]["variants"].items():
        if (other := points.setdefault((row["units"], row["ratio"]), name)) != name:
            yield Mistake(
                f"ablation.variants.{name}", name, f"is the same point of Fig. S2 as {other}: move one of them to ablation.choices"
            )


def targeted(comparison: Params, known: Mapping[str, Any]) -> Iterator[Mistake]:
    """Of the class that the comparison's targeted bank aims at; to be asked where the options of ``known`` banks are right."""
    if (bank := comparison["targeted"]) in known:
        towards = known[bank]["options"].get("towards")
        if towards != comparison["towards"]:
            aims = "aims at no class: choose a bank with towards" if towards is None else f"aims at class {towards}: give that class"
            yield Mistake("comparison.towards", comparison["towards"], f"the bank {bank} {aims}")
