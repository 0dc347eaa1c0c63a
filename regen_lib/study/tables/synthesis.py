"""What Algorithm 1 and the alternative sampler produce."""

import pandas as pd
from torch import Tensor

from regen_lib.core.perturbations import Threat
from regen_lib.core.seeding import generator
from regen_lib.regeneration.synthesis import make, nearest_cosine, synthesize, walk


def describe(bank: Tensor, threat: Threat, count: int, *, seed: int, name: str, eta_scale: float = 1.0) -> pd.DataFrame:
    """What both methods produce, one row per perturbation: ``network, method, steps, mixed, cosine`` (steps, mixed: Algorithm 1 only)."""
    walks = walk(bank, count, rng=generator(seed, "synthesis", name, "paper"), eta_scale=eta_scale)
    paper = pd.DataFrame({"steps": walks.steps.numpy(force=True), "mixed": walks.mixed().numpy(force=True)})
    paper["cosine"] = nearest_cosine(synthesize(bank, walks), bank).numpy(force=True)
    other = make("diverse", bank, threat, count, seed=seed, name=name)
    signed = pd.DataFrame({"cosine": nearest_cosine(other, bank).numpy(force=True)})
    return pd.concat([paper.assign(method="paper"), signed.assign(method="diverse")], ignore_index=True).assign(network=name)
