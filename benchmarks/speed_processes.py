"""Two processes on one machine against one: wall seconds of banks, a training and an evaluation, start-up apart.

``torchrun --standalone --nproc-per-node=2 -m benchmarks.speed_processes`` is what each measurement starts.
"""

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from statistics import median

from benchmarks.speed_attacks import trained
from benchmarks.timing import REPEATS, Row, row
from regen_lib.attacks.spgd import spgd
from regen_lib.core import processes as shared
from regen_lib.core.images import Images
from regen_lib.core.inference import predict
from regen_lib.core.perturbations import Threat
from regen_lib.core.runtime import start
from regen_lib.core.seeding import generator
from regen_lib.regeneration.unit import regenerate, units
from regen_lib.training.loop import fit
from regen_lib.training.recipe import Recipe

LAYERS = ["conv1_1", "conv1_2", "conv2_1", "conv3_1", "conv4_1", "conv5_1"]


def works() -> dict[str, Callable[[], object]]:
    """The same work whatever the number of processes: they share the banks, the batches, the images."""
    network, pixels = trained(5000)
    images = Images(pixels, predict(network, pixels))
    threat = Threat(math.inf, 60.0, 1.0)

    def banks() -> None:
        for seed in shared.jobs(range(4)):
            spgd(network, pixels[:1000], threat, seed=seed, count=1, passes=2, batch=128)

    def training() -> None:
        defended = regenerate(network, LAYERS, ratio=0.5, width=2.0, generator=generator(0, "units"))
        fit(defended, units(defended).values(), images, Recipe(1, 0.1, batch=128), seed=0, name="bench")

    return {"4 banks": banks, "an epoch of units": training, "evaluation": lambda: predict(network, pixels)}


def child() -> None:
    """Print the median wall seconds of each, as the first process sees them."""
    start(1)
    taken: dict[str, float] = {}
    for name, work in works().items():
        turns = []
        for _ in range(REPEATS + 1):
            shared.wait()
            begun = time.perf_counter()
            work()
            shared.wait()
            turns.append(time.perf_counter() - begun)
        taken[name] = median(turns[1:])
    if shared.rank() == 0:
        print(json.dumps(taken))


def processes() -> Iterator[Row]:
    """What the second process gains; :class:`StudyError` where there is no trained network to measure with."""
    trained(1)
    found = []
    for count in (1, 2):
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc-per-node={count}",
            "-m",
            "benchmarks.speed_processes",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    one, two = found
    for name in one:
        yield row("two processes", f"{name}, VGG-16, wall", two[name], one[name], "one process", "")


if __name__ == "__main__":
    child()
