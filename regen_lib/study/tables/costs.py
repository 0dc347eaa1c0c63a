"""What each defence costs: weights trained, and time at inference."""

import statistics
import time

import pandas as pd
from torch import Tensor, nn

from regen_lib.core.inference import predict
from regen_lib.defenses._shared.base import Defended
from regen_lib.regeneration.unit import units
from regen_lib.study.tables.home_ground import REPEATS, TIMED
from regen_lib.study.tables.suite import Suite


def trained(defended: nn.Module) -> int:
    """How many weights a defence trains: a rival, or ours."""
    if isinstance(defended, Defended):
        return defended.trained()
    return sum(parameter.numel() for unit in units(defended).values() for parameter in unit.parameters())


def costs(suite: Suite) -> pd.DataFrame:
    """``network, defense, parameters, inference``: weights trained, and CPU time to classify relative to the undefended network.

    The times are taken in turn, defence after defence, and over again; the median of the ratios counts.
    """
    rows = []
    for name in suite.names:
        ratios: dict[str, list[float]] = {defense: [] for defense in suite.defended[name]}
        for _ in range(REPEATS):
            base = seconds(suite.models[name], suite.images.pixels[:TIMED])
            for defense, network in suite.defended[name].items():
                ratios[defense].append(seconds(network, suite.images.pixels[:TIMED]) / base)
        for defense, network in suite.defended[name].items():
            row = {"network": name, "defense": defense, "parameters": trained(network)}
            rows.append({**row, "inference": statistics.median(ratios[defense])})
    return pd.DataFrame(rows)


def seconds(network: nn.Module, pixels: Tensor) -> float:
    """CPU seconds to classify ``pixels``."""
    start = time.process_time()
    predict(network, pixels)
    return time.process_time() - start
