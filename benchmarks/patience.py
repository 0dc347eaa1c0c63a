"""Would more effort change what attackers reach? ``python -m benchmarks.patience``, in a study's folder, after its ``repro``.

The attacks as params.yaml has them, and once more with several times their passes, steps and patience (passes without gain that end an
attack): against the undefended network one perturbation of each attack of Table 5, against a defence the white-box attackers of Fig. 6 and
Table 6 (Sec. 5.2.5). The same images are attacked; what they reach is judged on validation images that no attacker has. Writes
``benchmarks/results/patience.csv`` after each attack.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.attacker import attacked
from benchmarks.program import control, earlier, unseen
from regen_lib.core.images import load_images
from regen_lib.core.progress import tqdm
from regen_lib.core.runtime import start
from regen_lib.core.storage import write_table
from regen_lib.networks import load_network
from regen_lib.study.defended import load_defended
from regen_lib.study.params import load_params

KEYS = ("network", "defense", "attack", "effort")  # what names a row
WORK = ("passes", "steps", "iterations", "patience")  # what an attack ends by
TARGET = Path("benchmarks/results/patience.csv")


def cases(params: Mapping[str, Any], defenses: Sequence[str], efforts: Sequence[int]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """KEYS and the attacker's row in params.yaml, for every defence that a network has."""
    for name, defense in product(params["study"]["networks"], defenses):
        if defense != "hardened" or name in params["secondary"]["hardened"]:
            banks = attackers(params, name, defense)
            for attack, effort in product(banks, efforts):
                yield dict(zip(KEYS, (name, defense, attack, effort), strict=True)), harder(banks[attack], effort)


def attackers(params: Mapping[str, Any], name: str, defense: str) -> dict[str, dict[str, Any]]:
    """Of the undefended network one perturbation of each attack; of a defence Fig. 6's attacker, on its network, and Table 6's."""
    if defense == "undefended":
        unseen_banks = {key: bank for spec in params["unseen"].values() for key, bank in spec["banks"].items()}
        known = {"uap": params["uaps"]["banks"]["uap"], **unseen_banks}
        return {attack: {**known[attack], "count": 1} for attack in ("uap", *params["generalization"]["attacks"])}
    spec = params["secondary"]
    return {**(spec["fig6"]["banks"] if name == spec["fig6_network"] else {}), **spec["white_box"]["banks"]}


def harder(spec: Mapping[str, Any], effort: int) -> dict[str, Any]:
    """The same attacker with ``effort`` times the work, as far as it has options of :data:`WORK`."""
    options = dict(spec["options"])
    return {**spec, "options": {**options, **{key: effort * options[key] for key in WORK if options.get(key)}}}


def measure(options: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    params = load_params(Path("params.yaml"))
    start(params["study"]["threads"])
    splits = load_images(options.data / "images.safetensors")
    images = unseen(splits["validation"])
    plans = list(cases(params, options.defenses, options.efforts))
    done = earlier(options.table, [keys for keys, _ in plans])
    for keys, spec in tqdm(plans, desc="attacks"):
        name = keys["network"]
        bare = load_network(options.data / f"networks/{name}.safetensors")
        defended = load_defended(options.data, name, keys["defense"], bare)
        row = attacked(defended, bare, splits, spec, images, name=name, seed=params["study"]["seed"])
        done.append(row.assign(**keys))
        write_table(options.table, pd.concat(done, ignore_index=True).sort_values(list(KEYS)))


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.patience", description="Attackers of the study, and the same with more passes, steps and patience."
    )
    parser.add_argument("--defenses", nargs="+", default=["ours", "hardened"], help="what is attacked (default: ours hardened)")
    parser.add_argument("--efforts", nargs="+", type=int, default=[1, 4], help="times the work (default: 1 4)")
    return control(parser, measure, TARGET, arguments)


if __name__ == "__main__":
    sys.exit(main())
