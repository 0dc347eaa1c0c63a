"""Democratic Training (Sun, Sun, Zhao, ICLR 2025): no class may take over: fine-tuning on images pushed towards low entropy."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from regen_lib.core.layers import last_linear, ran
from regen_lib.core.options import Count, Pixels, Share
from regen_lib.defenses._shared.base import TrainingData
from regen_lib.defenses._shared.retraining import Retrained, train_against
from regen_lib.training.recipe import Recipe


def democratic_training(network: nn.Module) -> Retrained:
    """A copy of ``network``, to be fine-tuned."""
    return Retrained(network)


def entropy(features: Tensor) -> Tensor:
    """Shannon entropy of the softmax of features: ``[N, ...]`` to ``[N]``, in nats."""
    logs = features.flatten(1).log_softmax(1)
    return -(logs.exp() * logs).sum(1)


def features(model: nn.Module, x: Tensor) -> Tensor:
    """What the linear layer that runs last receives from the images ``x``; :class:`StudyError` where none runs."""
    with last_linear(model) as seen:
        model(x)
        return ran(seen, "linear layer")[-1]


def low_entropy(model: nn.Module, x: Tensor, y: Tensor, rng: torch.Generator, *, epsilon: float, steps: int) -> Tensor:  # noqa: ARG001
    """What moves each image towards a confident prediction, whichever: ``steps`` sign steps of ``epsilon / 4`` down the entropy."""
    v = (torch.rand(x.shape, generator=rng) * 2 - 1) * epsilon
    with torch.enable_grad():
        for _ in range(steps):
            leaf = v.requires_grad_()
            (gradient,) = torch.autograd.grad(entropy(features(model, x + leaf)).sum(), leaf)
            v = (v.detach() - epsilon / 4 * gradient.sign()).clamp(-epsilon, epsilon)
    return v.detach()


@contextmanager
def statistics_kept(model: nn.Module) -> Iterator[None]:
    """Within, batch normalisation of every kind keeps its running statistics, and uses them, while its scale and shift are trained."""
    found = [module.eval() for module in model.modules() if isinstance(module, _BatchNorm)]
    for module in found:
        vars(module)["train"] = lambda mode=True, module=module: module  # noqa: ARG005  # stays as it is, whatever is asked of the model
    try:
        yield
    finally:
        for module in found:
            del vars(module)["train"]


def train(
    defended: Retrained,
    data: TrainingData,
    recipe: Recipe,
    *,
    seed: int,
    name: str,
    epsilon: Pixels,
    steps: Count = 5,
    share: Share = 0.9,
    settled: bool = False,
) -> list[float]:
    """Fine-tune: ``share`` (alpha) of the loss is of the low-entropy images, under their true labels.

    Where ``settled``, batch normalisation keeps the statistics that it came with: those of low-entropy images are not those
    of the images that the network will see.
    """
    ascend = partial(low_entropy, epsilon=epsilon, steps=steps)
    with statistics_kept(defended.model) if settled else nullcontext():
        return train_against(defended, data, recipe, ascend, share=share, seed=seed, name=name)
