"""What regeneration units cost: a training step and inference against the bare network."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.timing import Row, medians, row
from regen_lib.core.devices import FORMATS
from regen_lib.core.seeding import generator
from regen_lib.networks import build
from regen_lib.networks.blocks import Task, initialise, multiply_adds
from regen_lib.regeneration.unit import Layers, regenerate, units
from regen_lib.study.params import load_params

DEFAULT, FULL = Path("params.yaml"), Path("studies/imagenet/params.yaml")
LAPTOP = Task((1, 28, 28), 10, (73.0,), (90.0,))
HEAVY = ("vgg16", "resnet152")  # fewer images at once, or a CPU would take all day
IMAGENET = Task((3, 224, 224), 1000, (123.0, 117.0, 104.0), (58.0, 57.0, 57.0))


def pair(name: str, study: Path, task: Task, width: float | None = None, layers: Layers | None = None) -> tuple[nn.Module, nn.Module]:
    """A network of a study with random weights, and the same with its units; ``width`` D / N and ``layers`` where not the study's."""
    params = load_params(study)
    network = initialise(build(name, task, **params["networks"][name]["options"]), generator(0, name)).eval().requires_grad_(False)
    network = network.to(memory_format=torch.channels_last)
    d_over_n = params["training"]["width"] if width is None else width
    defended = regenerate(network, layers or params["units"][name], ratio=0.5, width=d_over_n, generator=generator(0, "units"))
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
    """A step of the units, and inference, against the bare network: every network on the laptop, and at full size.

    On the laptop the paper's width D = N, and the profile's 2 N, where the networks are narrow and units as large as they are;
    at full size the two named sets of positions.
    """
    names = load_params(Path("params.yaml"))["study"]["networks"]
    for name in names:
        for width in (1.0, 2.0):
            yield from compared(f"{name}, 1x28x28, D = {width:g} N", *pair(name, DEFAULT, LAPTOP, width), LAPTOP, 128, device)
    sets = load_params(Path("studies/imagenet/params.yaml"))["positions"]
    for name in names:
        for kind, layers in sets.items():
            networks, batch = pair(name, FULL, IMAGENET, 1.0, layers[name]), 2 if name in HEAVY else 8
            yield from compared(f"{name}, 3x224x224, units of set {kind!r}", *networks, IMAGENET, batch, device)


def compared(case: str, network: nn.Module, defended: nn.Module, task: Task, batch: int, device: torch.device) -> Iterator[Row]:
    """A training step against forward and backward of all weights; inference against its share of multiply-adds."""
    x = (torch.randn(batch, *task.shape) * 60 + 110).to(memory_format=torch.channels_last)
    y = torch.arange(batch) % task.classes
    for unit in units(defended).values():
        unit.train().requires_grad_(True)
    bare = copy.deepcopy(network).train().requires_grad_(True)  # the network itself lends its frozen weights to the defended one
    step = medians({"ours": training_step(defended, x, y), "bare": training_step(bare, x, y)}, device)
    quick = medians({"ours": inference(defended.eval(), x), "bare": inference(network, x)}, device)
    more = multiply_adds(defended, task) / multiply_adds(network, task)
    case = f"{case}, batch {batch}"
    yield row("training step", case, step["ours"], step["bare"], f"undefended, all weights ({more:.2f} x multiply-adds)", "<1.35")
    yield row("inference", case, quick["ours"], quick["bare"] * more, f"undefended, times {more:.2f} multiply-adds", "<1.25")


def layouts(device: torch.device) -> Iterator[Row]:
    """The gradient that attacks take, in each memory format."""
    for name in load_params(Path("params.yaml"))["study"]["networks"]:
        x, y = torch.randn(128, *LAPTOP.shape) * 60 + 110, torch.arange(128) % LAPTOP.classes
        works = {}
        for key, form in FORMATS.items():
            network = pair(name, DEFAULT, LAPTOP)[0].to(memory_format=form)
            works[key] = training_step(network, x.to(memory_format=form).requires_grad_(), y)
        taken = medians(works, device)
        yield row("channels_last", f"gradient, {name}, 1x28x28, batch 128", taken["channels_last"], taken["contiguous"], "contiguous", "")
