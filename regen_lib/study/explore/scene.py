"""What one choice shows: an image, its perturbation, what networks say of the two, and a filter's output before and after."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images, as_input, class_names, load_images
from regen_lib.core.perturbations import Bank, load_bank
from regen_lib.core.surgery import Wrapped, find_conv, layer_inputs, view, with_replaced
from regen_lib.networks import load_network
from regen_lib.regeneration.masking import Masked
from regen_lib.regeneration.ranking import rank
from regen_lib.regeneration.unit import Regenerated, Unit
from regen_lib.study.defended import load_defended
from regen_lib.study.files import bank_file

MASKED, REGENERATED = "masked", "regenerated"
MOST = 5  # classes that are shown of a prediction


@dataclass(frozen=True)
class Choice:
    """What to look at. ``xi`` is the perturbation's norm in pixels, ``filter`` a place in the order of the l1 norms, 0 the most vulnerable,
    and ``share`` the fraction of the layer's filters, in that order, that are ``how``: masked or regenerated."""

    network: str
    attack: str
    xi: float
    image: int
    layer: str
    filter: int
    share: float
    how: str
    rival: str


@dataclass(frozen=True)
class Scene:
    """What there is to see of a choice.

    ``image`` and ``perturbation`` ``[C, H, W]`` in pixels; ``predictions``, by who makes them, the most likely classes with their
    probability; ``maps`` ``[h, w]``, a filter's output: clean, perturbed, and masked or regenerated; ``notes``, what is not as asked for.
    """

    choice: Choice
    image: Tensor
    truth: str
    perturbation: Tensor
    predictions: dict[str, list[tuple[str, float]]]
    maps: dict[str, Tensor]
    notes: list[str]


class Partly(Wrapped):
    """A convolution whose unit gives its output for the filters ``channels`` only; the others' stay as they are."""

    channels: Tensor

    def __init__(self, conv: nn.Conv2d, unit: Unit, channels: Tensor) -> None:
        super().__init__(conv)
        self.unit = unit
        self.register_buffer("channels", channels)

    def forward(self, input: Tensor) -> Tensor:
        features = self.conv(input)
        return features.index_copy(1, self.channels, self.unit(features)[:, self.channels])


class Explorer:
    """The study in the folder ``root``: what it has, and what each choice shows. Files are read when they are first asked for."""

    def __init__(self, root: Path) -> None:
        self.root, self.data = root, root / "data"
        self.network, self.bank, self.defended = cache(self.load_network), cache(self.load_bank), cache(self.load_defended)

    @cached_property
    def images(self) -> Images:
        """The test images."""
        return load_images(self.data / "images.safetensors")["test"]

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """What the classes are called, in the order of labels."""
        return class_names(self.data / "images.safetensors")

    def networks(self) -> list[str]:
        """The trained networks."""
        return names(self.data.glob("networks/*.safetensors"))

    def attacks(self, network: str) -> list[str]:
        """The banks that were made for a network."""
        return names(self.data.glob(f"banks/*/{network}/*.safetensors"))

    def rivals(self, network: str) -> list[str]:
        """The other defences that were built on a network."""
        return sorted(path.parent.name for path in self.data.glob(f"defenses/*/{network}.safetensors"))

    def layers(self, network: str) -> list[str]:
        """A network's convolutions; ours regenerates some of them."""
        return [name for name, module in self.network(network).named_modules() if isinstance(module, nn.Conv2d)]

    def load_network(self, name: str) -> nn.Module:
        """A network; :class:`StudyError` for one that is not there."""
        choose("network", name, self.networks(), f"{self.data} has no trained network: `make repro` or `make unpack FILE=...` brings some")
        return load_network(self.data / "networks" / f"{name}.safetensors")

    def load_bank(self, network: str, attack: str) -> Bank:
        """A bank that was made for a network."""
        choose("attack", attack, self.attacks(network), f"{self.data / 'banks'} has none for {network}: run the stages that make them")
        return load_bank(bank_file(self.data, network, attack), network=self.network(network))

    def load_defended(self, network: str, defense: str) -> nn.Module:
        """A network with a defence."""
        return load_defended(self.data, network, defense, self.network(network))

    def look(self, choice: Choice) -> Scene:
        """What ``choice`` shows. :class:`StudyError`, of one line, for what the study or the network does not have."""
        if not 0 <= choice.image < len(self.images):
            raise StudyError(f"image {choice.image} is none of the {len(self.images):,} test images: choose 0 to {len(self.images) - 1:,}")
        network, bank, notes = self.network(choice.network), self.bank(choice.network, choice.attack), list[str]()
        v = bank.perturbations[:1] * (choice.xi / bank.threat.xi)
        x = as_input(self.images.pixels[choice.image : choice.image + 1])
        both = torch.cat([x, x + v])
        changed, channel = self.changed(choice, notes)
        shown = f"{choice.layer}, {choice.share:.0%} {choice.how}"
        said = {"undefended, no perturbation": network, "undefended": network, shown: changed}
        for title, defense in (("ours, all units", "ours"), (choice.rival, choice.rival)):
            try:
                said |= {title: self.defended(choice.network, defense)} if defense else {}
            except StudyError as error:
                notes.append(str(error))
        with torch.no_grad():
            scores = {title: model(both).softmax(1)[int("no " not in title)] for title, model in said.items()}
            inputs = layer_inputs(network, [choice.layer], both)[choice.layer]
            before, after = (model.get_submodule(choice.layer)(inputs)[:, channel] for model in (network, changed))
        predictions = {title: self.most_likely(probabilities) for title, probabilities in scores.items()}
        maps = {"clean": before[0], "perturbed": before[1], choice.how: after[1]}
        return Scene(choice, x[0], self.classes[int(self.images.labels[choice.image])], v[0], predictions, maps, notes)

    def changed(self, choice: Choice, notes: list[str]) -> tuple[nn.Module, int]:
        """The network with the layer's filters masked or regenerated, and the filter to look at. It takes a clean image and the same
        perturbed, in this order."""
        network = self.network(choice.network)
        conv = find_conv(network, choice.layer)
        order = rank(conv)
        if not 0 <= choice.filter < len(order):
            raise StudyError(f"filter {choice.filter}: {choice.layer} has {len(order)}, choose 0 to {len(order) - 1}")
        channels = order[: round(choice.share * len(order))]
        if choice.how == MASKED:
            return with_replaced(network, {choice.layer: Masked(view(conv), channels)}), int(order[choice.filter])
        placed = {name: part for name, part in self.defended(choice.network, "ours").named_modules() if isinstance(part, Regenerated)}
        if choice.layer not in placed:
            raise StudyError(f"{choice.layer} has no unit: choose {MASKED}, or one of {', '.join(placed)}")
        unit = placed[choice.layer].unit
        if len(channels) > len(unit.channels):
            notes.append(f"the unit of {choice.layer} regenerates {len(unit.channels)} of its {len(order)} filters, no more")
        kept = channels[torch.isin(channels, unit.channels)]
        return with_replaced(network, {choice.layer: Partly(view(conv), unit, kept)}), int(order[choice.filter])

    def most_likely(self, probabilities: Tensor) -> list[tuple[str, float]]:
        """The first classes by probability."""
        best = probabilities.topk(min(MOST, len(probabilities)))
        return [(self.classes[int(label)], float(p)) for p, label in zip(best.values, best.indices, strict=True)]


def names(paths: Iterable[Path]) -> list[str]:
    """What the files are called."""
    return sorted(path.stem for path in paths)


def choose(what: str, name: str, known: list[str], none: str) -> None:
    """:class:`StudyError` where ``name`` is not ``known``; ``none`` says why nothing is."""
    if name not in known:
        raise StudyError(f"{what} {name!r} is not there: choose from {', '.join(known)}" if known else none)
