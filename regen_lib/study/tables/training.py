"""The table of a training: its loss after each epoch."""

from collections.abc import Sequence

import pandas as pd


def epochs(network: str, what: str, losses: Sequence[float]) -> pd.DataFrame:
    """A row for each epoch of the training of ``what`` on ``network``, the first epoch 1."""
    return pd.DataFrame({"network": network, "what": what, "epoch": range(1, len(losses) + 1), "loss": losses})
