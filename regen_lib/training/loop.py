"""Eq. 7: one training loop, for the baseline networks and for every trained defence."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from regen_lib.core import contract, options, processes
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.modes import differentiating
from regen_lib.core.progress import tqdm
from regen_lib.core.seeding import dropout_from, generator, whole
from regen_lib.core.storage import as_path
from regen_lib.training.checkpoint import Checkpoint
from regen_lib.training.crops import crops
from regen_lib.training.noise import Noise
from regen_lib.training.recipe import Recipe, rate_at


@runtime_checkable
class Objective(Protocol):
    """What :func:`fit` minimises: a scalar from a mini-batch, with the run's generator for whatever is random."""

    def __call__(self, x: Tensor, y: Tensor, rng: torch.Generator) -> Tensor: ...


def fit(
    network: nn.Module,
    trainable: Iterable[nn.Module],
    images: Images,
    recipe: Recipe,
    *,
    seed: int,
    name: str,
    noise: Noise | None = None,
    objective: Objective | None = None,
    resume: Path | str | None = None,
) -> list[float]:
    """Minimise Eq. 7 over the parameters of the ``trainable`` parts of ``network``; all else stays bit-identical.

    ``noise`` perturbs images of every mini-batch; each image is mirrored at random. Another ``objective`` takes the place of
    the cross-entropy: a scalar from images ``[b, C, H, W]``, labels and the run's generator. With a folder ``resume`` the training
    goes on from its last whole epoch after a kill, if all that it is made of is the same (:mod:`regen_lib.training.identity`). Several
    processes share every mini-batch. Returns the objective's mean over each epoch. :class:`StudyError` where it or a weight is no
    longer finite, and for what breaks the contract (:mod:`regen_lib.core.contract`); ``network`` is in evaluation mode and frozen
    afterwards. So it is where the training fails or is interrupted, but with the weights of that moment: those of before are lost.
    """
    trainable, seed = modules(trainable), whole(seed)
    contract.labelled(images)
    options.check_given(fit, {"recipe": recipe, "name": name, "noise": noise, "objective": objective, "resume": resume})
    contract.images(images.pixels)
    contract.labels(images.labels, len(images), contract.network(network, images.pixels))
    if noise is not None:
        contract.to_learn_from(noise.perturbations, images.pixels)
    each = images_an_epoch(images, recipe, name)
    objective = objective or partial(cross_entropy, torch.compile(network, mode=recipe.compile) if recipe.compile else network, noise)
    with training(network, trainable), dropout_from(generator(seed, "dropout", name)):
        rng, optimizer = generator(seed, "fit", name), make_optimizer(trainable, recipe)
        made_of = {"seed": seed, "settings": recipe, "images": images, "network": [network, trainable], "objective": objective}
        kept = Checkpoint(None if resume is None else as_path(resume), name, made_of, trainable, optimizer, rng)
        losses = list(kept.losses)
        step = processes.averaged(trainable, partial(objective, rng=rng))
        for epoch in range(len(losses), recipe.epochs):
            batches = MiniBatches(images, each, recipe, rng)
            rates = [rate_at(recipe, at / (recipe.epochs * len(batches))) for at in range(epoch * len(batches), (epoch + 1) * len(batches))]
            progress = tqdm(batches, desc=f"{name} {epoch + 1}/{recipe.epochs}")
            with torch.autocast(torch.get_default_device().type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
                losses.append(train_epoch(optimizer, progress, rates, step))
            check_epoch(losses, trainable, recipe, name)
            kept.save(losses)
    kept.remove()
    return losses


@contextmanager
def training(network: nn.Module, trainable: Iterable[nn.Module]) -> Iterator[None]:
    """Within, the ``trainable`` parts of ``network`` train, and they alone; afterwards, whatever happened, all of it predicts, frozen."""
    network.eval().requires_grad_(False)
    try:
        for part in trainable:
            part.train().requires_grad_(True)
        with differentiating():
            yield
    finally:
        network.eval().requires_grad_(False)


def modules(trainable: Iterable[nn.Module]) -> list[nn.Module]:
    """What is trained, as a list; :class:`StudyError` for a network in the place of its parts, and for what else holds no modules."""
    found = list(trainable) if isinstance(trainable, Iterable) else []
    if not isinstance(trainable, Iterable) or not all(isinstance(part, nn.Module) for part in found):
        raise StudyError(f"trainable is a {type(trainable).__name__}: give a list of the modules to train, [network] for all of it")
    if not all(parameter.is_leaf for part in found for parameter in part.parameters()):
        raise StudyError(
            "a weight to train is computed from others (a copy of a TorchScript module?): give the module that it was made from"
        )
    return found


def images_an_epoch(images: Images, recipe: Recipe, name: str) -> int:
    """How many images an epoch sees; :class:`StudyError` where that is not a batch, or a batch is not a share for each process."""
    each = len(images.first(recipe.images)) if recipe.images else len(images)
    if each < recipe.batch:
        raise StudyError(f"{name}: {each} images are fewer than one batch of {recipe.batch}: use more images or a smaller batch")
    processes.check_batch(recipe.batch)
    return each


def check_epoch(losses: Sequence[float], trainable: Iterable[nn.Module], recipe: Recipe, name: str) -> None:
    """After an epoch: :class:`StudyError` where its loss or a weight is not finite."""
    what = f"the loss is {losses[-1]}"
    if math.isfinite(losses[-1]):
        if all(bool(p.isfinite().all()) for part in trainable for p in part.parameters()):
            return
        what = "a weight is no longer finite"
    remedy = f"lower the rate ({recipe.rate}), and begin with the weights of before: those in the network are lost"
    raise StudyError(f"{name}: {what} after epoch {len(losses)}: {remedy}")


def cross_entropy(network: Callable[[Tensor], Tensor], noise: Noise | None, x: Tensor, y: Tensor, rng: torch.Generator) -> Tensor:
    """Eq. 7's loss of a mini-batch."""
    return nn.functional.cross_entropy(contract.alone(network(x if noise is None else noise(x, rng))), y)


def train_epoch(
    optimizer: torch.optim.Optimizer, batches: Any, rates: Sequence[float], objective: Callable[[Tensor, Tensor], Tensor]
) -> float:
    """One pass over ``batches`` (a progress bar of images and labels), each step at its own rate; the mean of the objective."""
    loss_sum = 0.0
    for step, (x, y) in enumerate(batches, start=1):
        for group in optimizer.param_groups:
            group["lr"] = rates[step - 1]
        loss = objective(x, y)
        if not loss.requires_grad:
            raise StudyError("the loss does not depend on what is trained: give parts that run in the network's forward")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_sum += loss.item()
        batches.set_postfix(loss=f"{loss_sum / step:.3f}", refresh=False)
    return processes.mean(loss_sum / len(rates))


def make_optimizer(trainable: Iterable[nn.Module], recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser; weight decay spares biases and BN scales, as in the authors' networks."""
    parameters = [p for part in trainable for p in part.parameters()]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.rate)
    return torch.optim.SGD(groups, lr=recipe.rate, momentum=recipe.momentum)


class MiniBatches:
    """One epoch: ``count`` images drawn without replacement, in the recipe's batches and cropped as it says; has a length."""

    def __init__(self, images: Images, count: int, recipe: Recipe, rng: torch.Generator) -> None:
        self.images, self.batches, self.batch, self.crop, self.rng = images, count // recipe.batch, recipe.batch, recipe.crop, rng

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.images), generator=self.rng)
        for x, y in self.images.batches(order[: self.batches * self.batch].split(self.batch), self.rng):
            yield crops(x, self.crop, self.rng) if self.crop else x, y
