"""How cost grows with image size, bank, images and number of networks: exponents, 1 is linear."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.speed_attacks import made, perturbations
from benchmarks.speed_units import DEFAULT, LAPTOP, pair
from benchmarks.timing import Row, medians, row
from regen_lib.attacks.uap import uap
from regen_lib.core.inference import predict
from regen_lib.core.perturbations import Threat

Sized = tuple[Sequence[int], Callable[[int], Callable[[], object]]]  # sizes, and the work at each


def one_pass(network: nn.Module, pixels: Tensor) -> object:
    """UAP, one pass."""
    return uap(network, pixels, Threat(math.inf, 20.0, 1.0), seed=0, count=1, passes=1, batch=64, classes=3)


def everywhere(networks: Sequence[nn.Module], pixels: Tensor) -> object:
    """The predictions of every network."""
    return [predict(network, pixels) for network in networks]


def growth(device: torch.device) -> Iterator[Row]:
    """The exponents: slopes of log seconds over log size, three sizes each."""
    network = pair("vgg16", DEFAULT, LAPTOP)[0]
    pixels = torch.randint(0, 256, (4000, *LAPTOP.shape), dtype=torch.uint8, device="cpu")
    cases: dict[str, Sized] = {
        "Algorithm 1, pixels of an image": ([96**2, 144**2, 224**2], lambda n: partial(made, perturbations(25, math.isqrt(n)), 1000)),
        "Algorithm 1, perturbations made": ([500, 1000, 2000], lambda n: partial(made, perturbations(25, 96), n)),
        "Algorithm 1, size of the bank": ([10, 20, 40], lambda n: partial(made, perturbations(n, 96), 1000)),
        "UAP, images": ([500, 1000, 2000], lambda n: partial(one_pass, network, pixels[:n])),
        "evaluation, images": ([1000, 2000, 4000], lambda n: partial(predict, network, pixels[:n])),
        "evaluation, networks": ([1, 2, 4], lambda n: partial(everywhere, [network] * n, pixels[:1000])),
    }
    for name, (sizes, work) in cases.items():
        taken = medians({str(n): work(n) for n in sizes}, device)
        exponent = np.polyfit(np.log(sizes), np.log([taken[str(n)] for n in sizes]), 1)[0]
        yield row("growth", name, float(exponent), 1.0, "linear (exponents, not seconds)", "<1.1")
