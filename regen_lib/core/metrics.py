"""Fooling ratio, restoration accuracy (Eq. 9), and 95 % intervals."""

import math

import torch
from torch import Tensor

from regen_lib.core.errors import StudyError

Z95 = 1.959963984540054  # the normal quantile of a two-sided 95 % interval


def fooling_ratio(clean: Tensor, perturbed: Tensor) -> float:
    """Fraction of images whose predicted class changes (Eq. 1); both ``[N]``, or of shapes that broadcast."""
    return float((clean != perturbed).double().mean())


def proportion_interval(successes: float, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion."""
    if trials <= 0:
        raise StudyError(f"an interval over {trials} images: evaluate at least one")
    p, z2 = successes / trials, Z95**2
    centre = (p + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 * math.sqrt(p * (1 - p) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return centre - half, centre + half


def restoration(baseline_clean: Tensor, defended_clean: Tensor, defended_perturbed: Tensor) -> tuple[float, float, float]:
    """Restoration accuracy (Eq. 9) and its 95 % interval from per-image correctness, three ``[N]`` over the same images.

    ``acc(I_p/c) / acc(I_c)``: the defended network over clean and perturbed images in equal numbers, over the undefended
    one on clean images. A network wholly fooled but unharmed on clean images scores 0.5. The interval is the delta
    method's for a ratio of means over the same images.
    """
    kept = (defended_clean.double() + defended_perturbed.double()) / 2
    base = baseline_clean.double()
    if not bool(base.any()):
        raise StudyError("the undefended network classifies no image correctly: Eq. 9 has no denominator; train it first")
    ratio = kept.mean() / base.mean()
    residual = kept - ratio * base
    half = Z95 * residual.std(correction=1) / base.mean() / math.sqrt(len(base)) if len(base) > 1 else torch.tensor(math.inf)
    return float(ratio), float(ratio - half), float(ratio + half)
