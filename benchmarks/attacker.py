"""What the controls on white-box attackers share: an attack made, and what it reaches."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from torch import nn

from regen_lib.attacks import make
from regen_lib.core.images import Images
from regen_lib.core.inference import predict
from regen_lib.evaluation.evaluate import evaluate
from regen_lib.study.report.machine import processor
from regen_lib.study.tables.white_box import late_gain

KEPT = ("network", "images", "clean_accuracy", "accuracy", "restoration", "fooling_ratio")


def attacked(
    defended: nn.Module, bare: nn.Module, splits: Mapping[str, Images], spec: Mapping[str, Any], images: Images, *, name: str, seed: int
) -> pd.DataFrame:
    """A row: what the attacker of ``spec`` reaches, on its own images (the strongest restart) and on ``images``; clean top-1 there."""
    found = make(defended, splits, spec, seed=seed)
    clean = {"undefended": predict(bare, images.pixels), "defended": predict(defended, images.pixels)}
    table = evaluate("attacker", name, {"defended": defended}, clean, {spec["attack"]: found}, images, seed=seed)
    effort = {"fooling_own": max(found.fooling), "passes": len(found.history), "late_gain": late_gain(found.history)}
    undefended = float((clean["undefended"] == images.labels).double().mean())
    return table[list(KEPT)].assign(undefended=undefended, **effort, machine=processor())
