"""A training that was killed, and one that was not: the same bytes."""

import copy
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from regen_lib.core import source
from regen_lib.core.errors import StudyError, StudyWarning
from regen_lib.core.images import Images
from regen_lib.core.storage import read_tensors, weights_hash, write_tensors
from regen_lib.data.listing import listing
from regen_lib.data.stream import Streamed
from regen_lib.networks.blocks import initialise
from regen_lib.networks.caffenet import caffenet
from regen_lib.training import description, loop, written
from regen_lib.training.loop import fit
from regen_lib.training.noise import Noise
from regen_lib.training.recipe import Recipe
from tests.conftest import TASK, draw

RECIPES = [Recipe(4, 0.05, batch=16), Recipe(4, 1e-3, batch=16, optimizer="adamw", schedule="cycle")]


def fresh() -> nn.Module:
    """With dropout: its generator has to be put back too."""
    return initialise(caffenet(TASK, width=0.0625, stem=(3, 1), padding=1, hidden=8), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.optimizer)
def test_goes_on_from_the_last_whole_epoch(tmp_path: Path, images: Images, monkeypatch: pytest.MonkeyPatch, recipe: Recipe) -> None:
    noise = Noise(draw(3, *TASK.shape) * 20)
    whole = fresh()
    losses = fit(whole, [whole], images, recipe, seed=0, name="a net", noise=noise)
    real, calls = loop.train_epoch, []

    def killed(*arguments: Any) -> float:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(loop, "train_epoch", killed)
    broken = fresh()
    with pytest.raises(KeyboardInterrupt):
        fit(broken, [broken], images, recipe, seed=0, name="a net", noise=noise, resume=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a-net.safetensors"]
    again = fresh()
    assert fit(again, [again], images, recipe, seed=0, name="a net", noise=noise, resume=tmp_path) == losses
    assert len(calls) == 3 + 2  # the two epochs that were missing
    assert weights_hash(again) == weights_hash(whole)
    assert not list(tmp_path.iterdir())


class Objective:
    """A loss of one's own, with a number of its own."""

    def __init__(self, network: nn.Module, share: float) -> None:
        self.network, self.share = network, share

    def __call__(self, x: Tensor, y: Tensor, rng: torch.Generator) -> Tensor:
        return nn.functional.cross_entropy(self.network(x), y, label_smoothing=self.share)


def squared(network: nn.Module, share: float, x: Tensor, y: Tensor, rng: torch.Generator) -> Tensor:
    return share * nn.functional.cross_entropy(network(x), y).square()


Training = Callable[..., tuple[str, list[float]]]


@pytest.fixture
def training(images: Images) -> Training:
    """Trains a fresh network; the hash of its weights, and the losses. ``objective`` makes one of the network."""

    def train(
        folder: Path | None = None,
        *,
        data: Images = images,
        recipe: Recipe = RECIPES[0],
        seed: int = 0,
        noise: Noise | None = None,
        start: nn.Module | None = None,
        objective: Callable[[nn.Module], Any] | None = None,
    ) -> tuple[str, list[float]]:
        network = start or fresh()
        own = None if objective is None else objective(network)
        losses = fit(network, [network], data, recipe, seed=seed, name="net", noise=noise, objective=own, resume=folder)
        return weights_hash(network), losses

    return train


def killed_in_second_epoch(training: Training, folder: Path, **options: Any) -> Path:
    """What a killed training leaves."""
    real, calls = loop.train_epoch, []

    def killed(*arguments: Any) -> float:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            training(folder, **options)
    (path,) = folder.iterdir()
    return path


def relabelled(images: Images) -> Images:
    return Images(images.pixels, (images.labels + 1) % 4)


def one_pixel_other(images: Images) -> Images:
    pixels = images.pixels.clone()
    pixels[0, 0, 0, 0] ^= 1
    return Images(pixels, images.labels)


def halving(network: nn.Module) -> nn.Module:
    """With half its outputs, by a hook."""
    network.register_forward_hook(lambda module, inputs, output: output / 2)
    return network


OTHER = {
    "another seed": ("seed", {}, lambda images: {"seed": 1}),
    "another rate": ("settings", {}, lambda images: {"recipe": Recipe(4, 0.06, batch=16)}),
    "other labels": ("images", {}, lambda images: {"data": relabelled(images)}),
    "another pixel": ("images", {}, lambda images: {"data": one_pixel_other(images)}),
    "another start": ("network", {}, lambda images: {"start": initialise(fresh(), torch.Generator().manual_seed(5))}),
    "a hook": ("network", {}, lambda images: {"start": halving(fresh())}),
    "other noise": (
        "objective",
        {"noise": Noise(draw(3, *TASK.shape) * 20)},
        lambda images: {"noise": Noise(draw(3, *TASK.shape, seed=1) * 20)},
    ),
    "clipped noise": (
        "objective",
        {"noise": Noise(draw(3, *TASK.shape) * 20)},
        lambda images: {"noise": Noise(draw(3, *TASK.shape) * 20, clip=True)},
    ),
    "a number in an object": (
        "objective",
        {"objective": lambda network: Objective(network, 0.1)},
        lambda images: {"objective": lambda network: Objective(network, 0.3)},
    ),
    "a number in a partial": (
        "objective",
        {"objective": lambda network: partial(squared, network, 1.0)},
        lambda images: {"objective": lambda network: partial(squared, network, 2.0)},
    ),
    "another function": (
        "objective",
        {"objective": lambda network: lambda x, y, rng: nn.functional.cross_entropy(network(x), y) * 3},
        lambda images: {"objective": lambda network: lambda x, y, rng: nn.functional.cross_entropy(network(x), y) * 2},
    ),
}


@pytest.mark.parametrize("what", OTHER)
def test_a_training_that_differs_in_anything_starts_anew(tmp_path: Path, images: Images, training: Training, what: str) -> None:
    """And says in what; its result is that of a run that nobody killed."""
    part, before, after = OTHER[what]
    path = killed_in_second_epoch(training, tmp_path, **before)
    with pytest.warns(StudyWarning, match=f"{path.name} is thrown away, the training starts anew: it was made with other .*{part}"):
        found = training(tmp_path, **after(images))
    assert found == training(**after(images))
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("what", ["a number in an object", "a number in a partial", "another function", "other noise"])
def test_the_same_made_again_goes_on(tmp_path: Path, training: Training, what: str) -> None:
    """With an objective of one's own as well."""
    _, options, _ = OTHER[what]
    killed_in_second_epoch(training, tmp_path, **options)
    assert training(tmp_path, **options) == training(**options)


@pytest.fixture
def forgetful() -> Iterator[None]:
    """The hashes of code are made anew."""
    for known in (written.source, source.read):
        known.cache_clear()
    yield
    for known in (written.source, source.read):
        known.cache_clear()


@pytest.mark.usefixtures("forgetful")
def test_changed_code_starts_anew(tmp_path: Path, training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of a module that the training imports; a loss put in the place of the library's."""
    killed_in_second_epoch(training, tmp_path)
    real = Path.read_text

    def edited(path: Path, **options: Any) -> str:
        return real(path, **options) + ("\nADDED = 1\n" if path.name == "inference.py" else "")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", edited)
        written.source.cache_clear()
        source.read.cache_clear()
        with pytest.warns(StudyWarning, match="made with other code"):
            training(tmp_path)
    written.source.cache_clear()
    source.read.cache_clear()
    killed_in_second_epoch(training, tmp_path)
    monkeypatch.setattr(loop, "cross_entropy", lambda network, noise, x, y, rng: nn.functional.cross_entropy(network(x), y) * 0.5)
    with pytest.warns(StudyWarning, match="made with other objective"):
        assert training(tmp_path) == training()


def damaged(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def poisoned(path: Path) -> None:
    tensors, metadata = read_tensors(path, "training")
    name = next(name for name in sorted(tensors) if name.startswith("part|") and tensors[name].ndim > 1)
    tensors = {key: tensor.clone() for key, tensor in tensors.items()}
    tensors[name].view(-1)[0] = torch.nan
    write_tensors(path, "training", tensors, **metadata)


def of_another_version(path: Path) -> None:
    write_tensors(path, "training", {}, identity="Recipe()", losses=[1.0])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(damaged, "damaged"), (poisoned, "holds NaN"), (of_another_version, "another version"), (lambda p: p.write_bytes(b""), "damaged")],
)
def test_a_spoilt_epoch_is_thrown_away(tmp_path: Path, training: Training, spoil: Callable[[Path], object], reason: str) -> None:
    path = killed_in_second_epoch(training, tmp_path)
    spoil(path)
    with pytest.warns(StudyWarning, match=f"is thrown away, the training starts anew: .*{reason}"):
        found = training(tmp_path)
    assert found == training()
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_finite_are_not_kept(tmp_path: Path, training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch's losses may be finite and its last step not."""
    real = loop.train_epoch

    def overflowing(optimizer: torch.optim.Optimizer, *arguments: Any) -> float:
        loss = real(optimizer, *arguments)
        optimizer.param_groups[0]["params"][0].data[0] = math.inf
        return loss

    monkeypatch.setattr(loop, "train_epoch", overflowing)
    with pytest.raises(StudyError, match="a weight is no longer finite after epoch 1: lower the rate"):
        training(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_nobody_can_tell_apart_is_refused(tmp_path: Path, training: Training) -> None:
    """A training that keeps nothing takes it all the same."""
    with (tmp_path / "log").open("w") as log:

        def logged(network: nn.Module) -> Callable[..., Tensor]:
            return lambda x, y, rng: (log.write("."), nn.functional.cross_entropy(network(x), y))[1]

        with pytest.raises(StudyError, match="TextIOWrapper from another: leave it out of the objective, or train without resume"):
            training(tmp_path / "kept", objective=logged)
        training(objective=logged)


def test_a_stream_is_known_by_its_files(tmp_path: Path) -> None:
    """By their names, classes, sizes and dates: nobody reads them all twice."""
    for name in ("a/1.jpg", "b/2.jpg"):
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (260, 260)).save(tmp_path / name)
    before = description.described(Streamed(listing(tmp_path)))
    assert description.described(Streamed(listing(tmp_path))) == before
    Image.new("RGB", (260, 261)).save(tmp_path / "b/2.jpg")
    changed = description.described(Streamed(listing(tmp_path)))
    (tmp_path / "a/1.jpg").rename(tmp_path / "b/1.jpg")
    assert len({before, changed, description.described(Streamed(listing(tmp_path)))}) == 3


def test_precision(images: Images, network: nn.Module) -> None:
    """bfloat16 changes the losses a little, and leaves float32 weights."""
    found = []
    for precision in ("float32", "bfloat16"):
        trained = copy.deepcopy(network)
        found.append(fit(trained, [trained], images, Recipe(1, 0.01, batch=16, precision=precision), seed=0, name="n")[0])
        assert all(p.dtype == torch.float32 for p in trained.parameters())
    assert found[0] != found[1]
    assert found[1] == pytest.approx(found[0], rel=0.1)
