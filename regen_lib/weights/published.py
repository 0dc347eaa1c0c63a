"""torchvision's published ImageNet weights, downloaded once into torch's cache."""

import hashlib
from http.client import HTTPException
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.weights.tensors import TORCHVISION, ordered


def read(network: nn.Module) -> list[tuple[str, Tensor]]:
    """The first published weights (IMAGENET1K_V1) of the network's family, their hash checked."""
    family = str(network.family)
    if family not in TORCHVISION:
        raise StudyError(f"torchvision has no {family}: choose one of {', '.join(TORCHVISION)}, or name a file")
    weights = torchvision.models.get_model_weights(TORCHVISION[family])["IMAGENET1K_V1"]
    check_kept(Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name))
    try:
        return ordered(weights.get_state_dict(check_hash=True, weights_only=True), network)
    except (OSError, HTTPException, RuntimeError) as error:  # torch raises the last for another hash
        raise StudyError(f"{weights.url}: {error}; download it elsewhere and name the file in params.yaml") from error


def check_kept(path: Path) -> None:
    """A file that was downloaded before, against the hash in its name: torch looks at that when it downloads, and never again."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        if not hashlib.file_digest(file, "sha256").hexdigest().startswith(path.stem.rpartition("-")[2]):
            raise StudyError(f"{path} is damaged: delete it, and it is downloaded again")
