"""Whether Democratic Training keeps its promise with other settings: ``python -m benchmarks.democratic``, after ``dvc repro uaps spgd``.

Its home ground is a universal perturbation towards one class, of which it should leave a fifth. Each network is trained as params.yaml
says, but for the ``epsilon`` of its low-entropy images, for whether batch normalisation keeps its statistics (``settled``) and for the
seed; judged on validation images that the targeted bank was not made from. Writes ``benchmarks/results/democratic.csv`` after each
training.
"""

import argparse
import sys
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor, nn

from benchmarks.program import control, earlier, unseen
from regen_lib import defenses
from regen_lib.core.images import Images, load_images
from regen_lib.core.inference import draw, predict
from regen_lib.core.metrics import proportion_interval
from regen_lib.core.perturbations import Bank, load_bank
from regen_lib.core.progress import tqdm
from regen_lib.core.runtime import start
from regen_lib.core.seeding import generator
from regen_lib.core.storage import write_table
from regen_lib.defenses._shared.base import TrainingData
from regen_lib.networks import load_network
from regen_lib.study.params import load_params
from regen_lib.study.report.machine import processor

KEYS = ("network", "settled", "epsilon", "seed")  # what names a training
TARGET = Path("benchmarks/results/democratic.csv")


def trained(params: Mapping[str, Any], network: nn.Module, training_data: TrainingData, plan: Mapping[str, Any]) -> nn.Module:
    """Democratic Training as params.yaml has it, but for what a ``plan`` of KEYS says: ``epsilon`` in pixels, ``settled``, the seed."""
    spec = params["rivals"]["democratic_training"]
    training = {**spec["training"], **{key: plan[key] for key in ("settled", "epsilon")}}
    return defenses.make("democratic_training", network, {**spec, "training": training}, training_data, seed=plan["seed"])


def turned(network: nn.Module, images: Images, bank: Bank, towards: int) -> Tensor:
    """Which of the images of other classes a targeted bank turns into class ``towards``."""
    choice = draw(len(images), len(bank), generator(0, "evaluation", "targeted"))
    return (predict(network, images.pixels, bank.perturbations, choice) == towards)[images.labels != towards]


def judged(defended: nn.Module, bare: nn.Module, images: Images, bank: Bank, towards: int) -> pd.DataFrame:
    """A row: targeted success with its 95 % interval and clean top-1, the undefended network's beside them."""
    hits = turned(defended, images, bank, towards)
    low, high = proportion_interval(float(hits.sum()), len(hits))
    row = {"success": float(hits.double().mean()), "ci_low": low, "ci_high": high}
    row["undefended_success"] = float(turned(bare, images, bank, towards).double().mean())
    for column, network in (("clean_accuracy", defended), ("undefended", bare)):
        row[column] = float((predict(network, images.pixels) == images.labels).double().mean())
    return pd.DataFrame([row]).assign(images=len(images), machine=processor())


def measure(options: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    params = load_params(Path("params.yaml"))
    start(params["study"]["threads"])
    splits, spec = load_images(options.data / "images.safetensors"), params["comparison"]
    images = unseen(splits["validation"])
    values = product(options.networks or params["study"]["networks"], [options.settled], options.epsilons, options.seeds)
    plans = [dict(zip(KEYS, each, strict=True)) for each in values]
    done = earlier(options.table, plans)
    for plan in tqdm(plans, desc="trainings"):
        name = plan["network"]
        network, folder = load_network(options.data / f"networks/{name}.safetensors"), options.data / "banks/uaps" / name
        training_data = TrainingData(
            splits["train"], load_bank(folder / "train.safetensors", network=network), tuple(params["units"][name])
        )
        defended = trained(params, network, training_data, plan)
        bank = load_bank(folder / f"{spec['targeted']}.safetensors", network=network)
        done.append(judged(defended, network, images, bank, spec["towards"]).assign(**plan))
        write_table(options.table, pd.concat(done, ignore_index=True).sort_values(list(KEYS)))


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.democratic", description="Targeted success after Democratic Training with other epsilon and seeds."
    )
    parser.add_argument("--networks", nargs="+", help="some of the study's networks (default: all)")
    parser.add_argument(
        "--epsilons", nargs="+", type=int, default=[60, 90, 120], help="of low-entropy images, in pixels (default: 60 90 120)"
    )
    parser.add_argument("--settled", action="store_true", help="batch normalisation keeps its statistics (default: those of the training)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1], help="seeds of the training (default: 0 1)")
    return control(parser, measure, TARGET, arguments)


if __name__ == "__main__":
    sys.exit(main())
