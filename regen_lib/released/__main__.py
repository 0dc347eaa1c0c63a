"""Others' perturbations on a network: ``python -m regen_lib.released FOLDER --network FILE --images FILE``."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from regen_lib.attacks.random_signs import random_signs
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images, load_images
from regen_lib.core.inference import predict
from regen_lib.core.perturbations import Bank, Threat
from regen_lib.core.replacing import check_writable
from regen_lib.core.runtime import start
from regen_lib.core.storage import write_table
from regen_lib.evaluation.evaluate import evaluate
from regen_lib.networks import load_network
from regen_lib.regeneration.files import load_units
from regen_lib.released import Released, banks, doubles, read_folder
from regen_lib.released.layouts import SIDE

CONTROLS = 5  # perturbations of random signs for each norm and xi
SHOWN = ["attack", "defense", "xi", "images", "clean_accuracy", "accuracy", "restoration", "ci_low", "ci_high", "fooling_ratio"]


def files(folder: Path, perturbations: Sequence[Released], again: Mapping[Path, Path]) -> pd.DataFrame:
    """How each file was read and why: its axes and colours, norm, and the file that it is a duplicate of, if any."""
    rows = [
        {
            "file": each.path.relative_to(folder).as_posix(),
            "read as": str(each.layout),
            "because of": each.why,
            "norm": f"{'l2' if each.threat.norm == 2 else 'l-inf'} {float(each.threat.size(each.v)[0]):.4g}",
            "duplicate of": again[each.path].relative_to(folder).as_posix() if each.path in again else "",
        }
        for each in perturbations
    ]
    return pd.DataFrame(rows)


def evaluated(found: dict[str, Bank], network: Path, test: Images, units: Path | None) -> pd.DataFrame:
    """Every bank, and random signs of its norm and xi, on a network, undefended and with ``units``."""
    model = load_network(network)
    if tuple(test.pixels.shape[1:]) != (3, SIDE, SIDE):
        raise StudyError(f"images of {tuple(test.pixels.shape[1:])}, but these perturbations are for (3, {SIDE}, {SIDE})")
    defended = {"undefended": model} | ({"ours": load_units(units, model)} if units else {})
    clean = {name: predict(each, test.pixels) for name, each in defended.items()}
    count = min(CONTROLS, len(test))
    controls = {control_name(t): random_signs(model, test.pixels, t, seed=0, count=count) for t in {bank.threat for bank in found.values()}}
    return evaluate("released", str(model.family), defended, clean, {**found, **dict(sorted(controls.items()))}, test, seed=0)


def control_name(threat: Threat) -> str:
    """What a control is called in the table."""
    return f"random signs, {'l2 ' if threat.norm == 2 else ''}xi {threat.xi:g}"


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m regen_lib.released", description="Evaluate perturbations that others made on a network."
    )
    parser.add_argument(
        "folder",
        type=Path,
        help="with folders UAP, FFF, NAG, SFool, GAP, GUAP, sPGD or precomputed as released, one of these, or any others",
    )
    parser.add_argument("--network", type=Path, required=True, help="data/networks/<name>.safetensors")
    parser.add_argument(
        "--images", type=Path, default=Path("data/images.safetensors"), help="default: data/images.safetensors; its test images count"
    )
    parser.add_argument("--units", type=Path, help="data/units/ours/<name>.safetensors: the defended network too")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="only files with one of these words in their path")
    parser.add_argument("--count", type=int, help="test images (default: all)")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the results there, as CSV")
    options = parser.parse_args(arguments)
    try:
        check_options(options)
        start(1)
        perturbations = list(read_folder(options.folder, options.only))
        again = doubles(perturbations)
        print(files(options.folder, perturbations, again).to_string(index=False), end="\n\n", flush=True)
        test = load_images(options.images)["test"]
        test = test if options.count is None else test.first(options.count)
        result = evaluated(banks(options.folder, perturbations, again), options.network, test, options.units)
        print(result[SHOWN].to_string(index=False, float_format="%.3f"))
        if options.table:
            write_table(options.table, result)
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def check_options(options: argparse.Namespace) -> None:
    """:class:`StudyError` for what would otherwise be found out after all the work."""
    if options.count is not None and options.count < 1:
        raise StudyError(f"--count {options.count}: at least one")
    if options.table:
        check_writable(options.table)


if __name__ == "__main__":
    sys.exit(main())
