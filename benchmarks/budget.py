"""What the results would be with less computing: ``python -m benchmarks.budget``, after ``dvc repro networks uaps synthesis``.

A quarter, half and all of the images that params.yaml gives a training, with everything else as there, for one defence of each kind:
units in the network (ours), a transform before it (PRN), a retrained network (adversarial training). Judged on validation images,
under UAPs and sPGD perturbations made from training images that no defence has met. Writes ``benchmarks/results/budget.csv`` after
each training, so that a kill loses one.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from regen_lib import attacks, defenses
from regen_lib.artifacts import load_perturbations, write_table
from regen_lib.banks import load_bank
from regen_lib.defenses.base import Material
from regen_lib.errors import StudyError
from regen_lib.evaluation import evaluate
from regen_lib.images import Images, load_images
from regen_lib.inference import predict
from regen_lib.networks import load_network
from regen_lib.params import load_params
from regen_lib.progress import tqdm
from regen_lib.regeneration import first, regenerate, units
from regen_lib.reproducible import generator, start
from regen_lib.training import Noise, Recipe, fit

SHARES = (0.25, 0.5, 1.0)
DEFENSES = ("ours", "prn", "adversarial_training")
TARGET = Path("benchmarks/results/budget.csv")
DATA = Path("data")


def shortened(recipe: Mapping[str, Any], share: float) -> dict[str, Any]:
    """The recipe with a share of its images, as many epochs."""
    return {**recipe, "images": round(recipe["images"] * share)}


def trained(defense: str, params: Mapping[str, Any], network: nn.Module, material: Material, share: float) -> nn.Module:
    """The defence on ``network`` as notebooks 04 and 04b make it, from a share of the images."""
    seed, name = params["study"]["seed"], network.family
    if defense != "ours":
        spec = params["rivals"][defense]
        return defenses.make(defense, network, spec | {"recipe": shortened(spec["recipe"], share)}, material, seed=seed)[0]
    own = params["training"]
    spec = own["variants"]["ours"]
    placed, rng = first(list(material.layers), spec["units"]), generator(seed, "units", name)
    defended = regenerate(network, placed, ratio=spec["ratio"], width=own["width"], residual=own["residual"], generator=rng)
    noise = Noise(load_perturbations(DATA / f"synthetic/{name}.safetensors"), own["probability"], own["clip"])
    recipe = Recipe(**shortened(own["recipe"], share))
    fit(defended, units(defended).values(), material.images, recipe, seed=seed, name=f"{name} ours", noise=noise)
    return defended


def judged(params: Mapping[str, Any], name: str, splits: Mapping[str, Images], done: pd.DataFrame) -> pd.DataFrame:
    """Rows of every defence and share for a network, added to ``done``, which is written as it grows."""
    seed = params["study"]["seed"]
    network = load_network(DATA / f"networks/{name}.safetensors")
    folder, images = DATA / "banks" / name, splits["validation"].first(params["evaluation"]["images"])
    tuning = params["attacks"]["banks"]["tuning"]
    unseen = params["unseen"]["spgd"]["banks"]["spgd"] | {key: tuning[key] for key in ("split", "start", "images", "count")}
    banks = {"tuning": load_bank(folder / "tuning.safetensors", network=network), "spgd": attacks.make(network, splits, unseen, seed=seed)}
    material = Material(splits["train"], load_bank(folder / "train.safetensors", network=network), tuple(params["units"][name]))
    bare = predict(network, images.pixels)
    for defense in DEFENSES:
        for share in SHARES:
            defended = trained(defense, params, network, material, share)
            clean = {"undefended": bare, defense: predict(defended, images.pixels)}
            rows = evaluate("budget", name, {defense: defended}, clean, banks, images, seed=seed).assign(share=share)
            done = pd.concat([done, rows.drop(columns="paper")], ignore_index=True)
            write_table(TARGET, done)
    return done


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budget", description="Restoration against the training's share of images.")
    parser.add_argument("--networks", nargs="+", help="some of the study's networks (default: all)")
    try:
        params = load_params(Path("params.yaml"))
        start(params["study"]["threads"])
        names = parser.parse_args(arguments).networks or params["study"]["networks"]
        splits = load_images(DATA / "images.safetensors")
        done = pd.read_csv(TARGET) if TARGET.is_file() else pd.DataFrame({"network": []})
        done = done[~done.network.isin(names)]
        for name in tqdm(names, desc="networks"):
            done = judged(params, name, splits, done)
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
