"""What the ImageNet profile would cost: ``python -m benchmarks.cost`` measures the networks here, and projects.

Measured: seconds per image, forward, and forward and backward to the input, of every full-size network on this device. Counted:
the images that studies/imagenet/params.yaml sends through them. The product is a projection, in hours of this device (on a CPU: of
one core). Writes ``benchmarks/results/cost.csv``.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from benchmarks.timing import medians
from regen_lib.core.progress import tqdm
from regen_lib.core.runtime import start
from regen_lib.core.storage import write_table
from regen_lib.networks import build
from regen_lib.networks.blocks import Task, multiply_adds
from regen_lib.regeneration.unit import regenerate, units
from regen_lib.study.params import load_params
from regen_lib.study.report.machine import processor

TRAINING_IMAGES = 1_281_167  # of ILSVRC2012
CROP = 3 * 224 * 224  # bytes of an image, decoded
DEEPFOOL_STEPS = 3  # on average, for the half of the images that a growing perturbation does not fool yet (measured on the laptop profile)


def backward(network: nn.Module, x: Tensor) -> None:
    """Gradients of the logits' sum for whatever asks for one."""
    network(x).sum().backward()


def measure(params: Mapping[str, Any], name: str, device: torch.device, batch: int, repeats: int) -> dict[str, float]:
    """Seconds an image: forward, with the gradient of the input, and a training step of the units."""
    task = Task((3, 224, 224), 1000, (120.0,) * 3, (60.0,) * 3)
    network = build(name, task, **params["networks"][name]["options"]).eval().requires_grad_(False)
    millions = multiply_adds(network, task) / 1e6
    width = params["training"]["width"]
    defended = regenerate(network, params["units"][name], ratio=0.5, width=width, generator=torch.Generator().manual_seed(0))
    for unit in units(defended).values():
        unit.train().requires_grad_(True)
    network, defended = (n.to(memory_format=torch.channels_last) for n in (network, defended))
    x = torch.rand(batch, 3, 224, 224).mul(255).to(memory_format=torch.channels_last)
    leaf = x.clone().requires_grad_()

    def forward() -> None:
        with torch.no_grad():
            network(x)

    def train() -> None:
        backward(defended, x)

    taken = medians({"forward": forward, "gradient": lambda: backward(network, leaf), "training": train}, device, repeats)
    return {"million_multiply_adds": millions, **{kind: seconds / batch for kind, seconds in taken.items()}}


def passes(params: Mapping[str, Any]) -> dict[str, float]:
    """Images that one network's share of the profile sends forward, takes the gradient of, and trains on."""
    forward = gradient = 0.0
    banks = [*params["uaps"]["banks"].values(), *(b for s in params["unseen"].values() for b in s["banks"].values())]
    for bank in banks:
        options, images = bank["options"], bank["images"]
        visits = images * options.get("passes", 0)
        if bank["attack"] == "uap":
            gradient += visits / 2 * DEEPFOOL_STEPS * (options["classes"] - 1)
            forward += visits / 2 * DEEPFOOL_STEPS
        elif "steps" in options:
            gradient += bank["count"] * options["steps"] * options.get("batch", 1)
        elif "iterations" in options:
            gradient += 2 * bank["count"] * options["iterations"] * options["batch"]
        else:
            gradient += visits * options.get("repeats", 1)
        forward += visits
    attacks, networks = len(params["generalization"]["attacks"]) + 3, len(params["study"]["networks"])
    forward += 2 * params["evaluation"]["images"] * (attacks + networks + 2)  # Tables 1 to 3 and 5, undefended and ours
    return {"forward": forward, "gradient": gradient, "training": params["training"]["recipe"]["epochs"] * TRAINING_IMAGES}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Project the cost of studies/imagenet/params.yaml from times measured here.")
    parser.add_argument("--batch", type=int, default=8, help="images in a step (a GPU wants 128 or more)")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    start(1)
    device = torch.get_default_device()
    params = load_params(Path("studies/imagenet/params.yaml"))
    work, rows = passes(params), []
    for name in tqdm(params["study"]["networks"]):
        each = measure(params, name, device, options.batch, options.repeats)
        hours = {f"{kind}_hours": work[kind] * each[kind] / 3600 for kind in work}
        rows.append({"network": name, **each, **hours, "hours": sum(hours.values())})
    images = params["images"]["options"]["counts"]["train"] + params["images"]["validation"] + params["evaluation"]["images"]
    hardware = torch.cuda.get_device_name() if device.type == "cuda" else f"{processor()}, one core"
    table = pd.DataFrame(rows).assign(disk_gb=images * CROP / 1e9, device=hardware)
    target = Path(__file__).parent / "results/cost.csv"
    write_table(target, table)
    print(table.to_string(index=False, float_format="%.3g"))


if __name__ == "__main__":
    main()
