"""What one section of params.yaml says of another: banks, networks, layers and defences that are named must be there."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from regen_lib.core.options import Mistake
from regen_lib.study.rows import RecipeSection

NEEDED = ("train", "uap")  # banks of every study: what units learn from, and Table 1
WHOLE = ("uap_smaller", "uap_l2", "tuning", "random_signs", "random_l2")  # and what Tables 2 to 4 and the choice of settings take
REFERENCE = "units6"  # the variant that other settings are compared with
Params = Mapping[str, Any]


def mistakes(params: Params) -> Iterator[Mistake]:
    """Every name in whole ``params`` that nothing there has, and every two values that contradict each other."""
    yield from networks(params)
    yield from banks(params)
    yield from defenses(params)
    yield from variants(params)
    yield from targeted(params["comparison"], all_banks(params))


def all_banks(params: Params) -> dict[str, Any]:
    """Every network's own banks by name."""
    groups = (params["uaps"], params["strengths"], *params["unseen"].values())
    return {name: row for group in groups for name, row in group["banks"].items()}


def missing(key: str, names: Any, known: Any, remedy: str) -> Iterator[Mistake]:
    """A mistake for each of the ``names`` at ``key`` that is not ``known``; one name, or a list of them."""
    several = isinstance(names, list)
    for index, name in enumerate(names if several else [names]):
        if name not in known:
            yield Mistake(f"{key}.{index}" if several else key, name, remedy)


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
    own = {"uaps": params["uaps"], "strengths": params["strengths"]}
    own |= {f"unseen.{name}": group for name, group in params["unseen"].items()}
    seen: dict[str, str] = {}
    for section, group in own.items():
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
    known = seen.keys() - params["strengths"]["banks"].keys()
    remedy = "no such bank: give it a row in uaps or unseen"
    for section, keys in {
        "filter_norms": ["bank"],
        "masking": ["bank"],
        "generalization": ["attacks", "control", "costs"],
        "examples": ["shown"],
        "comparison": ["targeted"],
    }.items():
        for key in keys:
            yield from missing(f"{section}.{key}", params[section][key], known, remedy)
    if REFERENCE not in params["ablation"]["variants"]:
        yield Mistake(f"ablation.variants.{REFERENCE}", ..., "is missing: other settings are compared with it, give it a row")
    for name, table in params["real_images"].items():
        yield from missing(f"real_images.{name}.attacks", table["attacks"], known, remedy)
        yield from units_beside(params, f"real_images.{name}.variants", table["variants"], table["reads"])
    attackers, remedy = params["secondary"]["white_box"]["banks"], "no such bank: give it a row in secondary.white_box"
    yield from missing("secondary.evaluation.attacks", params["secondary"]["evaluation"]["attacks"], attackers, remedy)
    yield from missing("comparison.white_box", params["comparison"]["white_box"], attackers, remedy)


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
    """Of defences, and in what order they can be built."""
    rivals = params["rivals"]
    known = ("undefended", "ours", "hardened", *rivals)
    yield from missing("secondary.fig6_defenses", params["secondary"]["fig6_defenses"], known, "no such defence: give it a row in rivals")
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
                RecipeSection(**(params[section]["recipe"] | (row.get("recipe") or {})))
            except ValidationError as error:
                yield Mistake(f"{section}.{key}.{name}.recipe", row["recipe"], error.errors()[0]["msg"].removeprefix("Value error, "))


def targeted(comparison: Params, known: Mapping[str, Any]) -> Iterator[Mistake]:
    """Of the class that the comparison's targeted bank aims at."""
    if (bank := comparison["targeted"]) in known:
        towards = known[bank]["options"].get("towards")
        if towards != comparison["towards"]:
            aims = "aims at no class: choose a bank with towards" if towards is None else f"aims at class {towards}: give that class"
            yield Mistake("comparison.towards", comparison["towards"], f"the bank {bank} {aims}")
