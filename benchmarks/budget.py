"""What defences would be with less training: ``python -m benchmarks.budget``, after ``dvc repro uaps synthesis``.

Some of the images that params.yaml gives the training of the units, of PRN and of HGD, and all of them, with everything else as there;
judged on validation images under UAPs made from training images that no defence has met. Writes ``benchmarks/results/budget.csv`` after
each training, so that a kill loses one.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from benchmarks.program import JUDGES, control, earlier
from regen_lib import defenses
from regen_lib.core.images import Images, load_images
from regen_lib.core.inference import predict
from regen_lib.core.perturbations import load_bank, load_perturbations
from regen_lib.core.progress import tqdm
from regen_lib.core.runtime import start
from regen_lib.core.storage import write_table
from regen_lib.defenses._shared.base import TrainingData
from regen_lib.evaluation.evaluate import evaluate
from regen_lib.networks import load_network
from regen_lib.regeneration.unit import first_layers
from regen_lib.study.params import load_params
from regen_lib.study.report.machine import processor
from regen_lib.training.recipe import Recipe
from regen_lib.training.units import trained

SHARES = (0.3, 0.6, 1.0)
DEFENSES = ("ours", "prn", "hgd")
TARGET = Path("benchmarks/results/budget.csv")


def shorter(spec: Mapping[str, Any], share: float) -> dict[str, Any]:
    """The same training with a share of its images, as many epochs."""
    return {**spec, "recipe": {**spec["recipe"], "images": round(spec["recipe"]["images"] * share)}}


def regenerated(
    params: Mapping[str, Any], network: nn.Module, name: str, training_data: TrainingData, share: float, data: Path
) -> nn.Module:
    """The network with its units, trained as notebook 04 does."""
    spec, seed = shorter(params["training"], share), params["study"]["seed"]
    variant, v = spec["variants"]["ours"], load_perturbations(data / f"synthetic/{name}.safetensors")
    placed = first_layers(list(training_data.layers), variant["units"])
    how = {"ratio": variant["ratio"], "calibration": None} | {key: spec[key] for key in ("width", "residual", "probability", "clip")}
    named: Any = {"seed": seed, "name": f"{name} ours", "key": name}
    return trained(network, training_data.images, v, placed, Recipe(**spec["recipe"]), **how, **named)[0]


def judged(params: Mapping[str, Any], name: str, splits: Mapping[str, Images], data: Path, wanted: Sequence[str]) -> Iterator[pd.DataFrame]:
    """A row for every defence and share, one network."""
    seed = params["study"]["seed"]
    network = load_network(data / f"networks/{name}.safetensors")
    folder, images = data / "banks/uaps" / name, splits["validation"].first(JUDGES)
    banks = {"tuning": load_bank(folder / "tuning.safetensors", network=network)}
    training_data = TrainingData(splits["train"], load_bank(folder / "train.safetensors", network=network), tuple(params["units"][name]))
    bare = predict(network, images.pixels)
    for defense in wanted:
        for share in SHARES:
            if defense == "ours":
                defended = regenerated(params, network, name, training_data, share, data)
            else:
                spec = shorter(params["rivals"][defense], share)
                defended = defenses.make(defense, network, spec, training_data, seed=seed)
            clean = {"undefended": bare, defense: predict(defended, images.pixels)}
            rows = evaluate("budget", name, {defense: defended}, clean, banks, images, seed=seed)
            yield rows.assign(share=share, machine=processor())


def measure(options: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    params = load_params(Path("params.yaml"))
    start(params["study"]["threads"])
    names = options.networks or params["study"]["networks"]
    splits = load_images(options.data / "images.safetensors")
    done = earlier(options.table, [{"network": name, "defense": defense} for name in names for defense in options.defenses])
    for name in tqdm(names, desc="networks"):
        for rows in judged(params, name, splits, options.data, options.defenses):
            done.append(rows)
            write_table(options.table, pd.concat(done, ignore_index=True))


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.budget", description="Restoration against the share of the training's images."
    )
    parser.add_argument("--networks", nargs="+", help="some of the study's networks (default: all)")
    parser.add_argument("--defenses", nargs="+", choices=DEFENSES, default=DEFENSES, help="some of the defences (default: all)")
    return control(parser, measure, TARGET, arguments)


if __name__ == "__main__":
    sys.exit(main())
