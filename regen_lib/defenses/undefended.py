"""No defence: the baseline of every table."""

from pathlib import Path

from torch import nn


def undefended(network: nn.Module, folder: Path) -> nn.Module:  # noqa: ARG001  # the folder is for trained defences
    """The network itself."""
    return network
