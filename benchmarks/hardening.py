"""How much iterative training holds an attacker who knows the units: ``python -m benchmarks.hardening``, after ``dvc repro units``.

Sec. 5.2.5 over seeds, rounds and the share of perturbed images: the network of Fig. 6 is hardened as params.yaml says, and after some
of the rounds Fig. 6's UAP attacker has its turn, on training images that no training attack takes; judged on validation images. Writes
``benchmarks/results/hardening.csv`` after each attack, so that a kill loses one training.
"""

import argparse
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from benchmarks.attacker import attacked
from benchmarks.program import JUDGES, control, earlier
from regen_lib.core.images import Images, load_images
from regen_lib.core.perturbations import load_bank
from regen_lib.core.progress import tqdm
from regen_lib.core.runtime import start
from regen_lib.core.storage import write_table
from regen_lib.networks import load_network
from regen_lib.regeneration.files import load_units
from regen_lib.regeneration.hardening import harden
from regen_lib.study.params import load_params
from regen_lib.training.recipe import Recipe

KEYS = ("probability", "old_bank_share", "seed")  # what names a training
START = 45000  # the attacker's first training image: after those of the attacks in training
TARGET = Path("benchmarks/results/hardening.csv")


def hardened(
    params: Mapping[str, Any], network: nn.Module, splits: Mapping[str, Images], data: Path, plan: Mapping[str, Any], rounds: int
) -> Iterator[nn.Module]:
    """The network with its units as each round of notebook 07a leaves them, by a ``plan`` of KEYS; first as they were."""
    name, spec = params["secondary"]["fig6_network"], params["secondary"]["training"]
    bank = load_bank(data / f"banks/uaps/{name}/train.safetensors", network=network)
    defended = load_units(data / f"units/ours/{name}.safetensors", network)
    yield defended
    recipe = Recipe(**spec["recipe"])
    for _ in harden(defended, bank, splits, spec["attacks"], recipe, rounds=rounds, count=spec["count"], name=name, **plan):
        yield defended


def rows(
    params: Mapping[str, Any], splits: Mapping[str, Images], data: Path, plan: Mapping[str, Any], after: Collection[int]
) -> Iterator[pd.DataFrame]:
    """One training, attacked ``after`` those rounds."""
    name, spec = params["secondary"]["fig6_network"], params["secondary"]["fig6"]["banks"]["uap"]
    attacker, images = {**spec, "split": "train", "start": START}, splits["validation"].first(JUDGES)
    network = load_network(data / f"networks/{name}.safetensors")
    for done, defended in enumerate(hardened(params, network, splits, data, plan, max(after))):
        if done in after:
            row = attacked(defended, network, splits, attacker, images, name=name, seed=plan["seed"])
            yield row.assign(**plan, rounds=done)


def measure(options: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    params = load_params(Path("params.yaml"))
    start(params["study"]["threads"])
    spec = params["secondary"]["training"]
    splits = load_images(options.data / "images.safetensors")
    kept = spec["old_bank_share"] if options.old_bank_share is None else options.old_bank_share
    shares = options.probabilities or [spec["probability"]]
    plans = [dict(zip(KEYS, (share, kept, seed), strict=True)) for seed in options.seeds for share in shares]
    done = earlier(options.table, plans)
    for plan in tqdm(plans, desc="trainings"):
        for row in rows(params, splits, options.data, plan, options.after or [spec["rounds"]]):
            done.append(row)
            write_table(options.table, pd.concat(done, ignore_index=True).sort_values(["probability", "old_bank_share", "rounds", "seed"]))


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hardening", description="Fig. 6's attacker against units hardened with other seeds, rounds and shares."
    )
    parser.add_argument("--probabilities", nargs="+", type=float, help="shares of perturbed images (default: that of params.yaml)")
    parser.add_argument("--old-bank-share", type=float, help="share of the mixture from the units' own bank (default: that of params.yaml)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="seeds of training and attack (default: 0 1 2)")
    parser.add_argument("--after", nargs="+", type=int, help="rounds after which to attack (default: the last)")
    return control(parser, measure, TARGET, arguments)


if __name__ == "__main__":
    sys.exit(main())
