"""How near trainings and attacks come to what the processor can do: the speed of a matrix product."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed_units import DEFAULT, LAPTOP, pair, training_step
from benchmarks.timing import Row, medians, row
from regen_lib.defenses.prn import prn
from regen_lib.regeneration.unit import units
from regen_lib.study.params import load_params

SIDE = 1024  # of a matrix large enough for its product to run at full speed
BATCH = 64


def operations(work: Callable[[], object]) -> int:
    """Floating-point operations of the convolutions and matrix products in ``work``, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def limits(device: torch.device) -> Iterator[Row]:
    """Steps of the laptop's trainings and attacks against the time that their operations take in a matrix product."""
    params = load_params(Path("params.yaml"))
    left, right = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    for name in params["study"]["networks"]:
        works: dict[str, Callable[[], object]] = {"product": lambda: left @ right, **steps(name, params["rivals"]["prn"]["options"])}
        counts = {case: operations(work) for case, work in works.items()}
        taken = medians(works, device)
        rate = counts["product"] / taken["product"]
        for case in list(works)[1:]:
            title, limit = f"{case}, {name}, 1x28x28, batch {BATCH}", counts[case] / rate
            yield row("limit", title, taken[case], limit, "its operations in a matrix product", "")


def steps(name: str, rectifier: Mapping[str, int]) -> dict[str, Callable[[], None]]:
    """What most of the pipeline's time goes to, on one network."""
    x, y = torch.randn(BATCH, *LAPTOP.shape).to(memory_format=torch.channels_last) * 60 + 110, torch.arange(BATCH) % LAPTOP.classes
    network, defended = pair(name, DEFAULT, LAPTOP)
    for unit in units(defended).values():
        unit.train().requires_grad_(True)
    rectified = prn(network, channels=LAPTOP.shape[0], **rectifier)
    return {
        "training step of the units": training_step(defended, x, y),
        "gradient for an attack": training_step(network, x.clone().requires_grad_(), y),
        "training step of PRN": training_step(rectified, x, y),
    }
