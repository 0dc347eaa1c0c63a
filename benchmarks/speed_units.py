"""What regeneration units cost: a training step and inference against the bare network; perturb beside a copy."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.timing import Row, medians, row
from regen_lib.kernels import perturb as perturbing
from regen_lib.networks import build
from regen_lib.networks.blocks import Task, initialise, multiply_adds
from regen_lib.params import load_params
from regen_lib.regeneration import regenerate, units
from regen_lib.reproducible import generator

LAPTOP = Task((1, 28, 28), 10, (73.0,), (90.0,))


def pair(name: str, profile: str, task: Task, width: float | None = None) -> tuple[nn.Module, nn.Module]:
    """A network of a profile with random weights, and the same with its units; ``width`` D / N where not the profile's."""
    params = load_params(Path(f"profiles/{profile}.yaml"))
    network = initialise(build(name, task, **params["networks"][name]["options"]), generator(0, name)).eval().requires_grad_(False)
    network = network.to(memory_format=torch.channels_last)
    d_over_n = params["training"]["width"] if width is None else width
    defended = regenerate(network, params["units"][name], ratio=0.5, width=d_over_n, generator=generator(0, "units"))
    return network, defended


def training_step(network: nn.Module, x: Tensor, y: Tensor) -> Callable[[], None]:
    """Forward, loss and backward for whatever in ``network`` is trained."""

    def work() -> None:
        nn.functional.cross_entropy(network(x), y).backward()

    return work


def inference(network: nn.Module, x: Tensor) -> Callable[[], None]:
    """A forward pass."""

    def work() -> None:
        with torch.no_grad():
            network(x)

    return work


def steps(device: torch.device) -> Iterator[Row]:
    """Every laptop network: a step of the units against forward and backward of the bare network; inference beside its multiply-adds.

    The paper's width D = N, and the profile's.
    """
    x, y = torch.randn(128, *LAPTOP.shape, device=device).to(memory_format=torch.channels_last) * 60 + 70, torch.arange(128) % 10
    for name in load_params(Path("profiles/laptop.yaml"))["study"]["networks"]:
        for width in (1.0, 2.0):
            network, defended = pair(name, "laptop", LAPTOP, width)
            for unit in units(defended).values():
                unit.train().requires_grad_(True)
            bare = pair(name, "laptop", LAPTOP)[0].train().requires_grad_(True)
            works = {"ours": training_step(defended, x, y), "bare": training_step(bare, x, y)}
            taken = medians({**works, "quick": inference(defended.eval(), x), "quick bare": inference(network, x)}, device)
            case = f"{name}, D = {width:g} N, batch 128"
            yield row("training step", case, taken["ours"], taken["bare"], "forward and backward, undefended", "<1.35")
            more = multiply_adds(defended, LAPTOP) / multiply_adds(network, LAPTOP)
            yield row("inference", case, taken["quick"], taken["quick bare"] * more, f"undefended, times {more:.2f} multiply-adds", "<1.25")


def bandwidth(device: torch.device) -> Iterator[Row]:
    """perturb's bytes a second against a copy of as many bytes."""
    gpu, shape = device.type == "cuda", (3, 224, 224)
    count = 256 if gpu else 16
    pixels = torch.randint(0, 256, (count, *shape), dtype=torch.uint8).to(memory_format=torch.channels_last)
    v, choice = torch.randn(5, *shape).to(memory_format=torch.channels_last) * 10, torch.arange(count) % 5
    normal = (torch.full((3,), 120.0), torch.full((3,), 60.0))
    source = torch.randn(count * math.prod(shape) * 5 // 8)  # a copy reads and writes 8 bytes for each: the 1 + 4 of a value here
    target = torch.empty_like(source)
    works = {"ours": lambda: perturbing.perturb(pixels, v, choice, normal=normal), "copy": lambda: target.copy_(source)}
    taken = medians(works, device)
    yield row("perturb", f"{count} images of 3x224x224", taken["ours"], taken["copy"], "a copy of its bytes", ">0.7" if gpu else "")
