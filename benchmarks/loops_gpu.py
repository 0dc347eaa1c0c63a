"""The study's loops at 224 x 224 pixels, images a second: ``python -m benchmarks.loops_gpu``, some two minutes on a GPU.

GoogLeNet in its published shape with random weights, each loop eager and compiled; float32 as the study has it, with TF32, and under
bfloat16 autocast. Writes ``loops_gpu.csv`` below ``--out`` after each row, in which the rows of kernels that are now deleted stay.
``--tiny`` tries it on a CPU.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.gpu_timing import OUT, Row, Sheet, reason, timed, versions
from regen_lib.attacks._shared.loss_gradient import loss_gradient
from regen_lib.attacks._shared.universal_step import universal_step
from regen_lib.attacks.uap import steps
from regen_lib.core.images import as_input
from regen_lib.core.inference import predict
from regen_lib.core.members import predictions
from regen_lib.core.perturbations import Threat
from regen_lib.core.runtime import start
from regen_lib.core.seeding import generator
from regen_lib.networks import build
from regen_lib.networks.blocks import Task, initialise
from regen_lib.regeneration.unit import regenerate, units
from regen_lib.training.loop import cross_entropy, make_optimizer
from regen_lib.training.noise import Noise
from regen_lib.training.recipe import Recipe

TASK = Task((3, 224, 224), 1000, (127.5,) * 3, (127.5,) * 3)
SMALL = Task((3, 32, 32), 10, (127.5,) * 3, (127.5,) * 3)
LAYERS = ["conv1.conv", "conv2.conv", "inception3a.b3x3.conv", "inception3a.b5x5.conv", "inception4a.b3x3.conv", "inception5a.b3x3.conv"]
LANES, THREAT = 5, Threat(math.inf, 10.0, 0.8)
Work = Callable[[nn.Module], object]


class Float(nn.Module):
    """A network whose logits are float32, as the library wants them, under autocast too."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[N, classes]``."""
        logits: Tensor = self.network(x)
        return logits.float()


class Loops:
    """What the loops work on: ``count`` images on the CPU, as they are read, GoogLeNet, and GoogLeNet with units at the paper's places."""

    def __init__(self, task: Task, count: int, width: float) -> None:
        self.rng = generator(0, "loops")
        self.pixels = torch.randint(
            0, 256, (count, *task.shape), generator=torch.Generator("cpu").manual_seed(0), dtype=torch.uint8, device="cpu"
        )
        self.network = initialise(build("googlenet", task, torchvision=True, width=width), self.rng).eval().requires_grad_(False)
        self.network = self.network.to(memory_format=torch.channels_last)
        self.defended = regenerate(self.network, LAYERS, generator=self.rng)
        self.parts = self.pixels.unflatten(0, (LANES, -1))
        self.clean = predictions(self.network, self.parts)
        self.labels, self.v = torch.arange(count) % task.classes, torch.zeros(LANES, *task.shape)
        self.noise = Noise(torch.rand(25, *task.shape, generator=self.rng) * 20 - 10)
        trained = list(units(self.defended).values())
        self.optimizer = make_optimizer(trained, Recipe(1, 1e-4, batch=128))

    def supply(self, _network: nn.Module) -> object:
        """The images to the device and nothing else: what all loops begin with."""
        return as_input(self.pixels, torch.arange(len(self.pixels)))

    def evaluation(self, network: nn.Module) -> object:
        """Perturbed images through the network with units."""
        return predict(Float(network).eval(), self.pixels, self.noise.perturbations, torch.arange(len(self.pixels)) % 25)

    def spgd(self, network: nn.Module) -> object:
        """A step of five perturbations."""
        chosen = torch.arange(self.parts.shape[1]).expand(LANES, -1)
        slope = loss_gradient(network, self.parts, self.clean, self.v, chosen)
        return universal_step(self.v, slope, 1.0, THREAT)

    def uap(self, network: nn.Module) -> object:
        """DeepFool steps of an eighth of the images, ten classes."""
        chosen = torch.arange(max(1, self.parts.shape[1] // 8)).expand(LANES, -1)
        return steps(network, self.parts, self.clean, self.v, torch.arange(LANES), chosen, 10)

    def training(self, network: nn.Module) -> object:
        """A step of the units on half of the images."""
        half = torch.arange(len(self.pixels) // 2)
        for unit in units(self.defended).values():
            unit.train().requires_grad_(True)
        loss = cross_entropy(network, self.noise, as_input(self.pixels, half), self.labels[half], torch.Generator("cpu").manual_seed(0))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def each(self) -> dict[str, tuple[Work, nn.Module, int]]:
        """Every loop: what it does, the network it takes, and how many images."""
        count = len(self.pixels)
        return {
            "images to the device": (self.supply, self.network, count),
            "training step of the units": (self.training, self.defended, count // 2),
            "evaluation with units": (self.evaluation, self.defended, count),
            "sPGD step": (self.spgd, self.network, count),
            "UAP step": (self.uap, self.network, LANES * max(1, self.parts.shape[1] // 8)),
        }


@contextmanager
def arithmetic(precision: str, device: torch.device) -> Iterator[None]:
    """``float32`` as the study has it, ``tf32`` for convolutions and products, or ``bfloat16`` under autocast."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def rates(device: torch.device, tiny: bool) -> Iterator[Row]:
    """A row for each loop, eager and compiled; compiled ones take longest to get ready and come last."""
    loops = Loops(SMALL, 10, 0.25) if tiny else Loops(TASK, 250, 1.0)
    compiling = [] if device.type == "cpu" else [(precision, "compiled") for precision in ("float32", "bfloat16", "tf32")]
    plain = [(precision, "eager") for precision in ("float32", "tf32", "bfloat16")]
    for index, (precision, form) in enumerate([*plain, *compiling]):
        for name, (work, network, count) in loops.each().items():
            if index and work == loops.supply:
                continue  # it has nothing to do with either
            with arithmetic(precision, device):
                yield {"loop": name, "precision": precision, "form": form, **rate(work, network, count, device, form == "compiled")}


def rate(work: Work, network: nn.Module, count: int, device: torch.device, compiled: bool) -> Row:
    """Images a second and their spread; NaN and the reason where the compiler or autocast will not have a loop."""
    try:
        if compiled:
            torch.compiler.reset()
            network = torch.compile(network, dynamic=False)  # type: ignore[assignment]
        taken = timed(work, [(network,)], device)
    except Exception as error:  # one loop must not cost the others
        return {"images_per_second": math.nan, "spread": math.nan, "images": count, "note": reason(error)}
    return {"images_per_second": count / taken.seconds, "spread": taken.spread, "images": count, "note": ""}


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loops_gpu", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=OUT, help=f"the folder to write to (default: {OUT})")
    parser.add_argument("--seconds", type=float, default=120, help="after which no further measurement begins (default: 120)")
    parser.add_argument("--tiny", action="store_true", help="a small network and few images, to try the program out on a CPU")
    options = parser.parse_args(arguments)
    start(1)
    device = torch.get_default_device()
    if device.type != "cuda" and not options.tiny:
        print("error: needs a GPU; --tiny goes without", file=sys.stderr)
        return 2
    sheet = Sheet(options.out / "loops_gpu.csv", options.seconds, "form == 'kernels'", **versions(device))
    sheet.fill(rates(device, options.tiny))
    return 0


if __name__ == "__main__":
    sys.exit(main())
