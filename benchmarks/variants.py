"""Defences as the study has them, and as they might have been: ``python -m benchmarks.variants``, in a study's folder, after its ``repro``.

Every row of ``benchmarks/variants.yaml`` is a defence of which one thing differs from params.yaml: its size, the images or perturbations
that it learns from, its strength. All are judged on the same validation images, which no attack was made from: clean top-1,
restoration (Eq. 9) under UAPs made from training images that no defence has met, and under the attacks that none was trained on. Writes
``benchmarks/results/variants.csv`` after each row, so that a kill loses one: rows that are there are kept.
"""

import argparse
import math
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import process_time
from typing import Any

import pandas as pd
import torch
import yaml
from torch import Tensor, nn

from benchmarks.attacker import attacked
from benchmarks.program import control, earlier, unseen
from regen_lib import defenses
from regen_lib.core.images import Images, load_images
from regen_lib.core.inference import predict
from regen_lib.core.perturbations import Bank, load_bank
from regen_lib.core.progress import tqdm
from regen_lib.core.runtime import start
from regen_lib.core.seeding import generator
from regen_lib.core.storage import write_table
from regen_lib.defenses._shared.base import TrainingData
from regen_lib.evaluation.evaluate import evaluate
from regen_lib.networks import load_network
from regen_lib.regeneration import synthesis
from regen_lib.regeneration.unit import first_layers
from regen_lib.study.files import bank_file
from regen_lib.study.params import load_params
from regen_lib.study.report.machine import processor
from regen_lib.study.tables.costs import trained as trained_weights
from regen_lib.training.recipe import Recipe
from regen_lib.training.units import trained

KEYS = ("network", "seed", "about", "variant")  # what names a row
ROWS = Path(__file__).with_name("variants.yaml")
TARGET = Path("benchmarks/results/variants.csv")
JUDGES = 2000
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Subject:
    """A network of a study, with all that a defence of it learns from and is judged by."""

    params: Mapping[str, Any]
    name: str
    splits: Mapping[str, Images]
    data: Path

    @cached_property
    def network(self) -> nn.Module:
        """The network, as notebook 00b left it."""
        return load_network(self.data / f"networks/{self.name}.safetensors")

    @cached_property
    def judges(self) -> Images:
        """Validation images that no attack has."""
        return unseen(self.splits["validation"], JUDGES)

    @cached_property
    def clean(self) -> Tensor:
        """What the network says of these."""
        return predict(self.network, self.judges.pixels)

    def bank(self, bank: str) -> Bank:
        """One of the network's banks."""
        return load_bank(bank_file(self.data, self.name, bank), network=self.network)

    @cached_property
    def banks(self) -> dict[str, Bank]:
        """What all are judged under: UAPs, and the attacks that none was trained on."""
        return {bank: self.bank(bank) for bank in ("tuning", *self.params["generalization"]["attacks"])}


def moved(bank: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Perturbations ``[count, C, H, W]``: members of the bank ``[K, C, H, W]``, each mirrored along either axis or not, shifted around
    the edges, and negated or not, all at random: as large as the member is."""
    made = bank[torch.randint(len(bank), (count,), generator=rng)]
    mirrored = torch.rand(3, count, generator=rng) < 0.5
    shifts = [torch.randint(size, (count,), generator=rng).tolist() for size in bank.shape[2:]]
    for index in range(count):
        axes = [axis for axis in (1, 2) if mirrored[axis, index]]
        made[index] = made[index].flip(axes).roll((shifts[0][index], shifts[1][index]), (1, 2))
    return made * (1 - 2 * mirrored[0].float()).view(-1, 1, 1, 1)


def perturbations(subject: Subject, row: Row) -> Tensor:
    """What a defence meets in training: the bank's first ``members``, as they are for a rival, as the row's ``method`` makes them."""
    bank, spec, seed = subject.bank("train"), subject.params["synthesis"], subject.params["study"]["seed"]
    members = bank.perturbations[: row.get("members")]
    method = row.get("method", spec["method"] if row["defense"] == "ours" else None)
    if method is None or (len(members) == 1 and method == "paper"):  # a walk from one member stops nowhere but at it
        return members
    if method == "moved":
        return moved(members, spec["count"], generator(seed, "moved", subject.name))
    return synthesis.make(method, members, bank.threat, spec["count"], seed=seed, name=subject.name, eta_scale=spec["eta_scale"])


def with_changes(spec: Mapping[str, Any], row: Row) -> dict[str, Any]:
    """A rival's row of params.yaml with what differs; on fewer distinct images, as many more epochs."""
    made = {key: {**(spec.get(key) or {}), **row.get(key, {})} for key in ("options", "training", "recipe")}
    if "images" in row:
        presented = made["recipe"]["epochs"] * made["recipe"]["images"]
        made["recipe"] |= {"images": min(row["images"], presented), "epochs": max(1, round(presented / row["images"]))}
    return made


def defended(subject: Subject, row: Row) -> nn.Module:
    """The network with the row's defence, made and trained as the study's notebooks do."""
    if row["defense"] == "undefended":
        return subject.network
    params, name, seed = subject.params, subject.name, subject.params["study"]["seed"]
    train = subject.splits["train"]
    train, v = train.first(row.get("images", len(train))), perturbations(subject, row)
    if row["defense"] != "ours":
        spec = with_changes(params["rivals"][row["defense"]], row)
        learned = replace(subject.bank("train"), perturbations=v, fooling=(math.nan,) * len(v))
        return defenses.make(row["defense"], subject.network, spec, TrainingData(train, learned, tuple(params["units"][name])), seed=seed)
    spec = params["training"]
    options = {**spec["variants"]["ours"], "width": spec["width"], "residual": spec["residual"]}
    training = {key: spec[key] for key in ("probability", "clip", "target")}
    how = with_changes({"options": options, "training": training, "recipe": spec["recipe"]}, row)
    layers = first_layers(params["units"][name], how["options"].pop("units"))
    settings = {**how["options"], **how["training"], "calibration": None, "seed": seed, "name": f"{name} ours", "key": name}
    return trained(subject.network, train, v, layers, Recipe(**how["recipe"]), **settings)[0]


def judged(subject: Subject, row: Row) -> dict[str, Any]:
    """A row of the table, without its KEYS."""
    began, defense, attacks = process_time(), row["defense"], subject.params["generalization"]["attacks"]
    network = defended(subject, row)
    cost = {"weights": trained_weights(network), "cpu_seconds": process_time() - began}
    clean = {"undefended": subject.clean, defense: predict(network, subject.judges.pixels)}
    how: Any = {"seed": subject.params["study"]["seed"], "means": {"unseen": attacks}}
    table = evaluate("variants", subject.name, {defense: network}, clean, subject.banks, subject.judges, **how).set_index("attack")
    mean, each = table.loc["unseen"], table.accuracy[attacks]
    shown = {"clean": mean.clean_accuracy, "uaps": table.restoration["tuning"], "unseen": mean.restoration}
    shown |= {"low": mean.ci_low, "high": mean.ci_high, "worst": each.min(), "worst_attack": each.idxmin()}
    shown |= {"white_box": min(against(subject, network)) if row.get("attacked") else None}
    return {"defense": defense, **shown, **cost, "images": len(subject.judges), "machine": processor()}


def against(subject: Subject, network: nn.Module) -> Iterator[float]:
    """Top-1 under each of the study's attackers who know the defence."""
    for spec in subject.params["secondary"]["white_box"]["banks"].values():
        how: Any = {"name": subject.name, "seed": subject.params["study"]["seed"]}
        yield float(attacked(network, subject.network, subject.splits, spec, subject.judges, **how).accuracy.iloc[0])


def plans(about: Collection[str] | None) -> list[tuple[str, str, Row]]:
    """The rows of ``variants.yaml`` on those subjects, or all."""
    asked = yaml.safe_load(ROWS.read_text(encoding="utf-8"))
    return [(key, variant, row) for key, rows in asked.items() if not about or key in about for variant, row in rows.items()]


def measure(options: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    params = load_params(Path("params.yaml"))
    start(params["study"]["threads"])
    splits = load_images(options.data / "images.safetensors")
    for name in options.networks or params["study"]["networks"]:
        subject = Subject(params, name, splits, options.data)
        there = {"ours", "undefended", *params["rivals"]}  # a profile may have left some out
        for about, variant, row in tqdm([plan for plan in plans(options.about) if plan[2]["defense"] in there], desc=name):
            keys = dict(zip(KEYS, (name, params["study"]["seed"], about, variant), strict=True))
            if options.again or not measured(options.table, keys):
                found = pd.DataFrame([keys | judged(subject, row)])
                write_table(options.table, pd.concat([*earlier(options.table, [keys]), found], ignore_index=True))


def measured(path: Path, keys: Mapping[str, Any]) -> bool:
    """Whether the table has that row."""
    return path.is_file() and keys in pd.read_csv(path)[list(keys)].to_dict("records")


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.variants", description="Defences with one thing changed, judged on validation images."
    )
    parser.add_argument("--networks", nargs="+", help="some of the study's networks (default: all)")
    parser.add_argument("--about", nargs="+", help="some of the subjects of variants.yaml (default: all)")
    parser.add_argument("--again", action="store_true", help="measure anew what the table has")
    return control(parser, measure, TARGET, arguments)


if __name__ == "__main__":
    sys.exit(main())
