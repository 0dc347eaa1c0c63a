"""On a GPU, every kernel against its twin, as it is and compiled: what is not faster than both has to go."""

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch

from benchmarks.speed_attacks import perturbations
from benchmarks.timing import Row, medians, row
from regen_lib.kernels import deepfool_step, perturb, regenerate, universal_step, walks

Case = tuple[Callable[..., object], Callable[..., object], tuple[object, ...]]


def cases() -> dict[str, Case]:
    """Kernel, twin and arguments of the sizes that ImageNet has."""
    features = torch.randn(64, 256, 28, 28).to(memory_format=torch.channels_last)
    hidden = torch.randn(64, 128, 28, 28).to(memory_format=torch.channels_last)
    channels, weight = torch.randperm(256)[:128], torch.randn(128, 128)
    pixels, choice = torch.randint(0, 256, (256, 3, 224, 224), dtype=torch.uint8), torch.arange(256) % 25
    steps = torch.randn(256, 1000), torch.randn(9, 256, 3, 64, 64), torch.rand(256, 1000).argsort(1)[:, :10]
    slopes, bank = torch.randn(5, 64, 3, 224, 224), perturbations(25, 8).double().flatten(1)
    coefficients, products = torch.zeros(2, 2000, 25, dtype=torch.float64).unbind()
    draws = torch.rand(50, 2000, dtype=torch.float64), torch.randint(25, (50, 2000))
    limit = torch.tensor(1e9, dtype=torch.float64)  # out of reach: every walk takes all its steps
    walking = (bank @ bank.T, coefficients, products, torch.zeros(2000, dtype=torch.long), *draws, limit)
    return {
        "perturb": (perturb.kernel, perturb.twin, (pixels, perturbations(25, 224), choice, True, None, torch.float32)),
        "regenerate in": (regenerate.gather_kernel, regenerate.gather_twin, (features, channels, weight)),
        "regenerate out": (regenerate.scatter_kernel, regenerate.scatter_twin, (hidden, channels, weight, features)),
        "DeepFool step": (deepfool_step.kernel, deepfool_step.twin, steps),
        "universal step": (universal_step.kernel, universal_step.twin, (slopes[:, 0].clone(), slopes, 1.0, math.inf, 10.0)),
        "walks": (walks.kernel, walks.twin, walking),
    }


def kernels(device: torch.device) -> Iterator[Row]:
    """Nothing on a CPU, where there is only the twin."""
    if device.type != "cuda":
        return
    for name, (kernel, twin, arguments) in cases().items():
        forms = {"kernel": kernel, "eager": twin, "compiled": torch.compile(twin)}
        with torch.no_grad():
            taken = medians({form: partial(function, *arguments) for form, function in forms.items()}, device)
        for other in ("eager", "compiled"):
            yield row("kernel", name, taken["kernel"], taken[other], f"torch, {other}", ">1")
