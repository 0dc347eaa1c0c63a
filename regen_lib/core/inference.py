"""Images through a network: perturbed or not, batch by batch, without gradients."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from regen_lib.core import contract, options, processes
from regen_lib.core.devices import memory_format
from regen_lib.core.images import Images, as_input, batch_size

BATCH = 125  # a third faster than 500 on a CPU


def perturb(pixels: Tensor, perturbations: Tensor, choice: Tensor, *, clip: bool = False) -> Tensor:
    """``pixels[i] + perturbations[choice[i]]`` as network input, clipped to [0, 255] where asked for, in the study's memory format.

    ``pixels`` uint8 ``[N, C, H, W]``, ``perturbations`` ``[K, C, H, W]`` in pixels, ``choice`` ``[N]``.
    The authors' evaluation does not clip, so that is the default everywhere.
    """
    x = pixels.to(perturbations.device, torch.float32, memory_format=memory_format()) + perturbations[choice]
    x = x.clamp_(0, 255) if clip else x
    return x.contiguous(memory_format=memory_format())


def logits(
    network: nn.Module, pixels: Tensor, perturbations: Tensor | None = None, choice: Tensor | None = None, *, clip: bool = False
) -> Iterator[Tensor]:
    """Logits ``[n, classes]`` batch by batch, without gradients; arguments as :func:`predict`.

    :class:`StudyError` for what breaks the contract (:mod:`regen_lib.core.contract`).
    """
    options.check(predict, {"clip": clip})
    contract.images(pixels)
    if perturbations is not None:
        contract.perturbations(perturbations, pixels, choice)
    size = batch_size(pixels, BATCH)
    for start in range(0, len(pixels), size):
        chunk = pixels[start : start + size]
        which = torch.zeros(len(chunk), dtype=torch.long) if choice is None else choice[start : start + size]
        with torch.no_grad(), contract.evaluating(network):
            x = as_input(chunk) if perturbations is None else perturb(chunk, perturbations, which, clip=clip)
            outputs = network(x) if start else contract.logits(contract.ran(network, x), len(x))
        yield outputs


def predict(
    network: nn.Module, pixels: Tensor, perturbations: Tensor | None = None, choice: Tensor | None = None, *, clip: bool = False
) -> Tensor:
    """Predicted classes ``[N]`` of ``pixels`` uint8 ``[N, C, H, W]``.

    With ``perturbations`` ``[K, C, H, W]``, image ``i`` carries ``perturbations[choice[i]]`` (the first where no choice is given).
    Several processes share the images.
    """
    share, own = processes.part(pixels), None if choice is None else processes.part(choice)
    found = [z.argmax(1) for z in logits(network, share, perturbations, own, clip=clip)]
    return processes.gathered(torch.cat([torch.empty(0, dtype=torch.long), *found]), len(pixels))


def draw(images: int, perturbations: int, generator: torch.Generator) -> Tensor:
    """For each image, one of the perturbations, uniformly: how the authors' release evaluates. ``[images]``."""
    return torch.randint(perturbations, (images,), generator=generator)


def top1(network: nn.Module, images: Images) -> float:
    """Top-1 accuracy on clean images."""
    return float((predict(network, images.pixels) == images.labels).double().mean())
