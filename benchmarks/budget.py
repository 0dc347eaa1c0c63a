"""What rivals would be with less training: ``python -m benchmarks.budget``, after ``dvc repro uaps``.

Some of the images that params.yaml gives PRN's and HGD's training, and all of them, with everything else as there; judged on validation
images under UAPs made from training images that no defence has met. Writes ``benchmarks/results/budget.csv`` after each training, so
that a kill loses one.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from regen_lib import defenses
from regen_lib.artifacts import write_table
from regen_lib.banks import load_bank
from regen_lib.defenses.base import Material
from regen_lib.errors import StudyError
from regen_lib.evaluation import evaluate
from regen_lib.images import Images, load_images
from regen_lib.inference import predict
from regen_lib.minutes import processor
from regen_lib.networks import load_network
from regen_lib.params import load_params
from regen_lib.progress import tqdm
from regen_lib.reproducible import start

SHARES = (0.3, 0.6, 1.0)
DEFENSES = ("prn", "hgd")
TARGET = Path("benchmarks/results/budget.csv")


def judged(params: Mapping[str, Any], name: str, splits: Mapping[str, Images], data: Path) -> Iterator[pd.DataFrame]:
    """A row for every defence and share, one network."""
    seed = params["study"]["seed"]
    network = load_network(data / f"networks/{name}.safetensors")
    folder, images = data / "banks" / name, splits["validation"].first(params["evaluation"]["images"])
    banks = {"tuning": load_bank(folder / "tuning.safetensors", network=network)}
    material = Material(splits["train"], load_bank(folder / "train.safetensors", network=network), tuple(params["units"][name]))
    bare = predict(network, images.pixels)
    for defense in DEFENSES:
        spec = params["rivals"][defense]
        for share in SHARES:
            shorter = spec | {"recipe": {**spec["recipe"], "images": round(spec["recipe"]["images"] * share)}}
            defended = defenses.make(defense, network, shorter, material, seed=seed)[0]
            clean = {"undefended": bare, defense: predict(defended, images.pixels)}
            rows = evaluate("budget", name, {defense: defended}, clean, banks, images, seed=seed)
            yield rows.drop(columns="paper").assign(share=share, machine=processor())


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budget", description="Rivals' restoration against their training's images.")
    parser.add_argument("--networks", nargs="+", help="some of the study's networks (default: all)")
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder that the study's stages filled")
    options = parser.parse_args(arguments)
    try:
        params = load_params(Path("params.yaml"))
        start(params["study"]["threads"])
        names = options.networks or params["study"]["networks"]
        splits = load_images(options.data / "images.safetensors")
        done = [pd.read_csv(TARGET).query("network not in @names")] if TARGET.is_file() else []
        for name in tqdm(names, desc="networks"):
            for rows in judged(params, name, splits, options.data):
                done.append(rows)
                write_table(TARGET, pd.concat(done, ignore_index=True))
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
