"""What every defence is: a module around a network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.perturbations import Bank
from regen_lib.core.surgery import view
from regen_lib.core.wrappers import bare


class Defended(nn.Module):
    """A defended network: pixel images ``[N, C, H, W]`` in, logits out.

    ``network`` is the classifier as it came, a frozen view of it that shares its weights; all else is the defence's own. By
    default the classifier sees ``transform`` of the images. Once :func:`regen_lib.defenses.make` has made it, ``made`` is the name of
    the defence and the options that built it, and ``losses`` the training's after each epoch, where it is trained.
    """

    made: tuple[str, dict[str, Any]] | None = None
    losses: Sequence[float] = ()

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = view(network)
        self.around = tuple(self.network.state_dict())  # what it is built around: units put in later make another network of that
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

    def check(self) -> None:
        """:class:`StudyError` for what is no :class:`Images` or no :class:`Bank`."""
        for given, expected in ((self.images, Images), (self.bank, Bank)):
            if not isinstance(given, expected):
                raise StudyError(f"a {type(given).__name__} in the place of {expected.__name__}: give regen_lib.{expected.__name__}(...)")


def straight_through(x: Tensor, changed: Tensor) -> Tensor:
    """``changed`` in the forward pass, the identity in the backward pass (BPDA, Athalye et al. 2018)."""
    return x + (changed - x).detach()
