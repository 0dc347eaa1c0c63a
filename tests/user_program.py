"""A user's program, for the type checker alone (`make lint`): what the public names take and give, and that there are no others.

An `ignore` that suppresses nothing is an error, so each of those below says that the checker finds what is wrong there.
"""

# mypy: enable-error-code="arg-type, attr-defined"
from typing import assert_type

import pandas as pd
import torch
from torch import nn

import regen_lib as rl


def program(network: nn.Module, images: rl.Images) -> None:
    threat = rl.Threat(norm=torch.inf, xi=10.0)
    bank = assert_type(rl.uap(network, images.pixels, threat, seed=0, count=5), rl.Bank)
    defended = assert_type(rl.train_units(network, images, bank, ["conv1"]), nn.Module)
    assert_type(rl.evaluate({"undefended": network, "units": defended}, images, {"UAP": bank}), pd.DataFrame)
    assert_type(rl.__version__, str)


def mistakes() -> None:
    rl.Threat(norm="inf", xi=10.0)  # type: ignore[arg-type]
    rl.uapp  # type: ignore[attr-defined]  # noqa: B018
