"""Every kind of file below ``data/``, damaged in every way, and read by what reads it in the study."""

import hashlib
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from regen_lib.core.images import Images, load_images, save_images
from regen_lib.core.perturbations import load_bank, load_perturbations, save_bank, save_perturbations
from regen_lib.core.storage import read_tensors, write_tensors
from regen_lib.defenses._shared.files import save_defense
from regen_lib.defenses.prn import prn
from regen_lib.networks import load_network, save_network
from regen_lib.regeneration.files import load_units, save_units
from regen_lib.regeneration.unit import regenerate
from regen_lib.study.defended import load_defended
from regen_lib.training import loop
from regen_lib.training.loop import fit
from regen_lib.training.recipe import Recipe
from tests.faults import damages
from tests.faults.damages import Spoil
from tests.faults.fault import Fault, LeftoverError, expect
from tests.suite import LAYERS, TASK, bank_of, network_of

DATA = Path("data")
NETWORK = DATA / "networks/net.safetensors"
FLIPS = 16
RECIPE = Recipe(3, 0.05, batch=16)


@dataclass(frozen=True)
class Kind:
    """A kind of artifact: where it lies in a project, what kind its file says it is, and what the study makes of it."""

    name: str
    file: Path
    kind: str
    use: Callable[[], object]


def images() -> Images:
    """48 random images of 4 classes."""
    pixels = torch.randint(0, 256, (48, *TASK.shape), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    return Images(pixels, torch.arange(48) % 4)


def network() -> nn.Module:
    """The network of the project at hand, which is whole."""
    return load_network(NETWORK)


def used_network() -> object:
    """A network's weights, and what it says of images."""
    net = network()
    return net.family, net.state_dict(), net(images().pixels.float())


def used_units() -> object:
    """What the defended network says of images."""
    defended = load_units(DATA / "units/ours/net.safetensors", network())
    return defended.state_dict(), defended(images().pixels.float())


def used_defense() -> object:
    """What the network behind a rectifier says of images."""
    defended = load_defended(DATA, "net", "prn", network())
    return defended.state_dict(), defended(images().pixels.float())


def trained() -> object:
    """A training that goes on from a kept epoch, if there is one that it can use, and leaves nothing behind."""
    net = network_of(5, images().pixels)
    losses = fit(net, [net], images(), RECIPE, seed=0, name="a net", resume=DATA / "training")
    if left := [path.name for path in (DATA / "training").iterdir()]:
        raise LeftoverError(f"after the training: {left[0]}")
    return losses, net.state_dict()


KINDS = (
    Kind("images", DATA / "images.safetensors", "images", lambda: load_images(DATA / "images.safetensors")),
    Kind("network", NETWORK, "network", used_network),
    Kind(
        "bank",
        DATA / "banks/uaps/net/uap.safetensors",
        "bank",
        lambda: load_bank(DATA / "banks/uaps/net/uap.safetensors", network=network(), shape=TASK.shape),
    ),
    Kind("synthetic", DATA / "synthetic/net.safetensors", "perturbations", lambda: load_perturbations(DATA / "synthetic/net.safetensors")),
    Kind("units", DATA / "units/ours/net.safetensors", "units", used_units),
    Kind("defense", DATA / "defenses/prn/net.safetensors", "defense", used_defense),
    Kind("checkpoint", DATA / "training/a-net.safetensors", "training", trained),
)


@cache
def wholes() -> Mapping[Path, bytes]:
    """The bytes of every artifact of a small study, by where it lies in the project."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        save_images(root / "data/images.safetensors", {"train": images(), "test": images().first(8)})
        save_network(root / NETWORK, network_of(1, images().pixels))
        net = load_network(root / NETWORK)
        save_bank(root / "data/banks/uaps/net/uap.safetensors", bank_of(net, "net", "uap", math.inf, 60.0, 3, 1))
        save_perturbations(
            root / "data/synthetic/net.safetensors", bank_of(net, "net", "uap", 2, 500.0, 20, 2).perturbations, method="paper"
        )
        defended = regenerate(net, LAYERS, ratio=0.5, width=1.0, residual=0.3, generator=torch.Generator().manual_seed(2))
        save_units(root / "data/units/ours/net.safetensors", defended, network=net, layers=LAYERS, ratio=0.5, width=1.0)
        rectified = prn(net, **(options := {"channels": 1, "maps": 4, "blocks": 1}))
        rectified.made = ("prn", options)
        save_defense(root / "data/defenses/prn/net.safetensors", rectified)
        stopped_training(root / "data/training")
        return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*.safetensors"))}


def stopped_training(folder: Path) -> None:
    """What a training leaves that is killed in its second epoch."""
    net, real, epochs = network_of(5, images().pixels), loop.train_epoch, 0

    def killed(*arguments: Any) -> float:
        nonlocal epochs
        if epochs == 1:
            raise KeyboardInterrupt
        epochs += 1
        return real(*arguments)

    loop.train_epoch = killed
    try:
        fit(net, [net], images(), RECIPE, seed=0, name="a net", resume=folder)
    except KeyboardInterrupt:
        pass
    finally:
        loop.train_epoch = real


def digest(value: object) -> str:
    """SHA-256 over all that a value holds, to the bit."""
    found = hashlib.sha256()
    collect(value, found.update)
    return found.hexdigest()


def collect(value: object, take: Callable[[bytes], None]) -> None:
    """Hand every part of a value to ``take``, in order."""
    if isinstance(value, Tensor):
        take(f"{value.dtype} {tuple(value.shape)}".encode())
        take(value.detach().contiguous().numpy().tobytes())
    elif isinstance(value, Mapping):
        collect(sorted(value.items(), key=lambda item: str(item[0])), take)
    elif isinstance(value, list | tuple):
        take(f"{len(value)} of".encode())
        for item in value:
            collect(item, take)
    elif is_dataclass(value):
        collect([(field.name, getattr(value, field.name)) for field in fields(value)], take)
    else:
        take(repr(value).encode())


def lay(project: Path) -> None:
    """Write every whole artifact into the project."""
    for file, data in wholes().items():
        (project / file).parent.mkdir(parents=True, exist_ok=True)
        (project / file).write_bytes(data)


@cache
def expected(kind: str) -> str:
    """The digest of what an undisturbed artifact is used for; asked for in a project whose artifacts are whole."""
    return digest(next(k for k in KINDS if k.name == kind).use())


def attempt(kind: Kind, spoil: Spoil, project: Path) -> None:
    """Damage one artifact of a whole project, and use it."""
    lay(project)
    right = expected(kind.name)
    lay(project)
    spoil(kind.file)
    expect(digest(kind.use()) == right, "read without a word, and not what was written")


# --- written anew: damage that has a right content hash, so that the loader itself must look ---------------------------------------


def anew(kind: Kind, change: Callable[[dict[str, Tensor], dict[str, Any]], object]) -> Spoil:
    """The damage of a program that writes something wrong with the study's own writer."""

    def spoil(path: Path) -> None:
        tensors, metadata = read_tensors(path, kind.kind)
        tensors = {name: tensor.clone() for name, tensor in tensors.items()}
        change(tensors, metadata)
        write_tensors(path, kind.kind, tensors, **metadata)

    return spoil


def largest(tensors: Mapping[str, Tensor]) -> str:
    """The name of the tensor with the most values."""
    return max(tensors, key=lambda name: tensors[name].numel())


def replaced(change: Callable[[Tensor], Tensor], tensors: dict[str, Tensor], _metadata: dict[str, Any]) -> None:
    """Another tensor in place of the largest."""
    tensors[largest(tensors)] = change(tensors[largest(tensors)])


def put(value: float, tensors: dict[str, Tensor], _metadata: dict[str, Any]) -> None:
    """One value somewhere in the largest tensor of floats, or of integers where there is no other."""
    floats = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
    where = (floats or {name: tensor.float() for name, tensor in tensors.items()})[largest(floats or tensors)]
    where.flatten()[1] = value
    tensors[largest(floats or tensors)] = where


TENSORS: dict[str, Callable[[dict[str, Tensor], dict[str, Any]], object]] = {
    "NaN": partial(put, math.nan),
    "infinity": partial(put, math.inf),
    "double": partial(replaced, lambda t: t.double()),
    "half": partial(replaced, lambda t: t.half()),
    "integers": partial(replaced, lambda t: t.to(torch.int32)),
    "complex": partial(replaced, lambda t: t.to(torch.complex64)),
    "one dimension less": partial(replaced, lambda t: t.flatten(0, 1)),
    "no rows": partial(replaced, lambda t: t[:0]),
    "one row less": partial(replaced, lambda t: t[:-1]),
    "a tensor dropped": lambda tensors, _: tensors.pop(largest(tensors)),
    "no tensors": lambda tensors, _: tensors.clear(),
    "a tensor more": lambda tensors, _: tensors.update({"one|more.pixels": torch.ones(3)}),
}


SOUND = {("synthetic", "one row less")}  # one perturbation less is a set of perturbations too


def metadata_damages(kind: Kind) -> Iterator[tuple[str, Spoil]]:
    """Each key of an artifact's metadata, missing or of another type, with a right content hash."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "whole.safetensors"
        path.write_bytes(wholes()[kind.file])
        whole = read_tensors(path, kind.kind)[1]
    for key, right in sorted(whole.items()):
        yield f"no {key}", anew(kind, lambda _, metadata, key=key: metadata.pop(key))  # type: ignore[misc]
        others: tuple[object, ...] = (None, "text", -1, [], {})
        for value in (value for value in others if not isinstance(value, plain_type(right))):
            yield f"{key} is {value!r}", anew(kind, lambda _, metadata, key=key, value=value: metadata.update({key: value}))  # type: ignore[misc]


def plain_type(value: object) -> type | tuple[type, ...]:
    """The types that JSON does not tell from that of a value."""
    return (int, float) if isinstance(value, int | float) else type(value)


def others(kind: Kind) -> Iterator[tuple[str, Spoil]]:
    """The file of each other kind in this one's place."""
    for other in KINDS:
        if other.kind != kind.kind:
            yield f"a file of {other.name}", lambda path, other=other: path.write_bytes(wholes()[other.file])  # type: ignore[misc]


def faults(rng: Random) -> Iterator[Fault]:
    """Every damage of every kind of artifact."""
    for kind in KINDS:
        spoils = {**damages.truncations(), **damages.flips(rng, FLIPS), **damages.flips(rng, 4, 0, 0.1), **damages.OVERWRITTEN}
        spoils |= {**damages.REPLACED, **damages.NO_FILE, **damages.HEADERS, **dict(others(kind))}
        spoils |= {f"written with {name}": anew(kind, change) for name, change in TENSORS.items() if (kind.name, name) not in SOUND}
        spoils |= {f"written with {name}": spoil for name, spoil in metadata_damages(kind)}
        for name, spoil in spoils.items():
            cost = 0.3 if kind.name == "checkpoint" else 0.05
            yield Fault("artifacts", f"{kind.name}: {name}", partial(attempt, kind, spoil), names=kind.file.name, cost=cost)
