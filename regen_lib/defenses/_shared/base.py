"""What every defence is: a module around a network; and how what it learned is kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.perturbations import Bank
from regen_lib.core.storage import fill, opened, weights_hash, write_tensors
from regen_lib.core.surgery import view
from regen_lib.core.wrappers import bare


class Defended(nn.Module):
    """A defended network: pixel images ``[N, C, H, W]`` in, logits out.

    ``network`` is the classifier as it came, a frozen view of it that shares its weights; all else is the defence's own. By
    default the classifier sees ``transform`` of the images.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = view(network)
        self.family = getattr(network, "family", type(bare(network)).__name__)

    def transform(self, x: Tensor) -> Tensor:
        """What the classifier sees instead of ``x``."""
        return x

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(self.transform(x))
        return logits

    def own(self) -> list[nn.Module]:
        """The parts that are the defence's own: what is trained, if anything is."""
        return [module for name, module in self.named_children() if name != "network"]

    def trained(self) -> int:
        """How many weights are trained."""
        return sum(parameter.numel() for module in self.own() for parameter in module.parameters())


@dataclass(frozen=True)
class TrainingData:
    """What a defence may learn from: training images and the network's training bank, the same for all.

    ``built_on`` is a defence trained before, for one that is built upon it.
    """

    images: Images
    bank: Bank
    layers: tuple[str, ...]
    built_on: "Defended | None" = None


def straight_through(x: Tensor, changed: Tensor) -> Tensor:
    """``changed`` in the forward pass, the identity in the backward pass (BPDA, Athalye et al. 2018)."""
    return x + (changed - x).detach()


def save_defense(path: Path, name: str, defended: Defended, options: Mapping[str, Any]) -> None:
    """Write what is a defence's own, with its name, options and the hash of the network that it protects."""
    tensors = {key: tensor for key, tensor in defended.state_dict().items() if not key.startswith("network.")}
    write_tensors(path, "defense", tensors, defense=name, options=dict(options), network_hash=weights_hash(defended.network))


def load_defense(path: Path, name: str, network: nn.Module, builder: Callable[..., Defended]) -> Defended:
    """What :func:`save_defense` wrote, built around ``network`` and frozen.

    :class:`StudyError` for a damaged file, another defence's, or one for other weights.
    """
    with opened(path, "defense") as (tensors, metadata):
        if metadata["defense"] != name:
            raise StudyError(f"it holds {metadata['defense']}, not {name}")
        if metadata["network_hash"] != weights_hash(network):
            raise StudyError(f"{name} for other weights of the network")
        defended = builder(network, **metadata["options"])
        state = {key: tensor for key, tensor in defended.state_dict().items() if key.startswith("network.")}
        fill(defended, {**tensors, **state})
    defended.eval().requires_grad_(False)
    return defended
