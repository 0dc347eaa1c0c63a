"""Weights as safetensors: under this study's names, or torchvision's."""

from collections.abc import Mapping
from pathlib import Path

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.weights._names import counts

TORCHVISION = {"squeezenet": "squeezenet1_0", "vgg16": "vgg16", "googlenet": "googlenet", "resnet152": "resnet152"}


def read(path: Path, network: nn.Module) -> list[tuple[str, Tensor]]:
    """The file's arrays in the network's order."""
    return ordered(load_file(path), network)


def ordered(tensors: Mapping[str, Tensor], network: nn.Module) -> list[tuple[str, Tensor]]:
    """Named arrays in the network's order; :class:`StudyError` unless the names are this study's or torchvision's.

    ``module.``, which ``DataParallel`` puts before every name, may stand there.
    """
    if tensors and all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    names = {name for name in tensors if counts(name)}
    for known in (list(network.state_dict()), torchvision_names(str(network.family))):
        order = [name for name in known if counts(name) and not name.startswith("normalize.")]
        if set(order) == names - {"normalize.mean", "normalize.std"}:
            return [(name, tensors[name]) for name in order]
    raise StudyError(
        f"names such as {min(names, default='none')!r} are neither {network.family}'s here nor torchvision's: another network?"
    )


def torchvision_names(family: str) -> list[str]:
    """What torchvision calls the arrays of its network of that family, in order."""
    if family not in TORCHVISION:
        return []
    options = {"init_weights": False} if family == "googlenet" else {}
    with torch.device("meta"):
        return list(torchvision.models.get_model(TORCHVISION[family], weights=None, **options).state_dict())
