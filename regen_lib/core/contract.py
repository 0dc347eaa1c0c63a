"""The contract: what every attack, defence and measurement is given, checked where it comes in.

* Images are uint8 ``[N, C, H, W]`` in 0-255, labels int64 ``[N]`` from 0 to classes - 1, perturbations float32 ``[K, C, H, W]``
  in pixels.
* A network takes such images as float32 and gives one row of logits (before any softmax) for each: float32 ``[N, classes]``,
  finite, of two or more classes. It leaves the images as they are, is run in evaluation mode and put back as it was
  (:func:`evaluating`). An image's logits must not depend on the images beside it; what is checked of that is that batch
  normalisation has running statistics. A network that looks at its batch by other means is not recognised, nor are values that are
  no logits unless they are probabilities, none below 0 and every row summing to 1: whoever gives it answers for it.
* An attack by gradients needs a gradient that is not zero everywhere, as many images as it is told to take at once, and
  options that let it move. What it gives is finite and not zero; far below ``xi`` it is warned of
  (:mod:`regen_lib.attacks._shared.door`, a decorator on every attack).

What is seen to break it is refused with a :class:`StudyError` that says what to do. The check costs one forward (an attack's: one
gradient) of ``PROBE`` images and draws no random numbers.
"""

from typing import Any
from warnings import warn

import torch
from torch import Tensor, nn

from regen_lib.core.errors import StudyError, StudyWarning
from regen_lib.core.images import as_input
from regen_lib.core.modes import evaluating, undisturbed

__all__ = ["evaluating", "images", "labels", "logits", "network", "perturbations", "stack", "to_learn_from"]

PROBE = 4  # images that a network is tried on
SOME = 64  # images that are looked at for their scale
SUM = 1e-3  # how far from 1 the sum of an image's probabilities may be


def images(pixels: Tensor) -> None:
    """Refuse ``pixels`` that are not uint8 ``[N, C, H, W]`` with a :class:`StudyError` that names the remedy."""
    if torch.get_default_dtype() != torch.float32:
        found = f"torch makes {torch.get_default_dtype()} by default"
        raise StudyError(f"{found}, and everything here is float32: torch.set_default_dtype(torch.float32)")
    if not isinstance(pixels, Tensor):
        raise StudyError(f"images are a {type(pixels).__name__}: give a tensor, uint8 [N, C, H, W] (torch.from_numpy takes an array)")
    if pixels.ndim != 4:
        raise StudyError(f"images of shape {tuple(pixels.shape)}: give [N, C, H, W] (one image: image[None]; no channels: images[:, None])")
    if pixels.dtype != torch.uint8:
        raise StudyError(f"images of {pixels.dtype}{scale(pixels)}")
    if len(pixels) and int(pixels[:SOME].max()) <= 1:
        warn(
            "the images hold 0 and 1 alone: if they were in [0, 1], give (images * 255).round().to(torch.uint8)", StudyWarning, stacklevel=3
        )


def labelled(images: Any) -> None:
    """Refuse what is no :class:`regen_lib.Images`, nor a stream of them."""
    if not hasattr(images, "batches"):
        raise StudyError(f"images with labels are a {type(images).__name__}: give regen_lib.Images(pixels, labels)")


def scale(pixels: Tensor) -> str:
    """What is known of images that are not uint8, and how to mend them."""
    if not pixels.numel():
        return ": give uint8 in 0-255"
    if pixels.is_floating_point() and not bool(pixels.isfinite().all()):
        return " with NaN or infinity: find out where they come from, then give uint8 in 0-255"
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0:
        remedy = "undo the normalisation (it belongs in the network) and give uint8 in 0-255"
    elif high <= 1 and pixels.is_floating_point():
        remedy = "give (images * 255).round().to(torch.uint8)"
    elif high <= 255:
        remedy = "give images.round().to(torch.uint8)" if pixels.is_floating_point() else "give images.to(torch.uint8)"
    else:
        remedy = "scale them to 0-255 and give uint8"
    return f" from {low:g} to {high:g}: {remedy}; xi is in pixels of 0-255, and the network divides if it must"


def labels(labels: Tensor, count: int, classes: int | None = None) -> None:
    """Refuse labels that are not int64 ``[count]`` from 0 to ``classes - 1``."""
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64:
        found = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise StudyError(f"labels of {found}: give a tensor of int64 (labels.long()), one class an image")
    if tuple(labels.shape) != (count,):
        raise StudyError(f"labels of shape {tuple(labels.shape)} for {count} images: give one class an image, [{count}]")
    if count and (int(labels.min()) < 0 or (classes is not None and int(labels.max()) >= classes)):
        within = "0 or more" if classes is None else f"0 to {classes - 1}"
        raise StudyError(f"labels from {int(labels.min())} to {int(labels.max())}: they must be {within}, as the network counts classes")


def perturbations(v: Tensor, pixels: Tensor, choice: Tensor | None = None) -> None:
    """Refuse perturbations that are not finite float32 ``[K, C, H, W]`` of the images' ``C, H, W``.

    And a ``choice`` that does not name one of them for every image: int64 ``[N]`` from 0 to K - 1.
    """
    stack(v)
    if v.shape[1:] != pixels.shape[1:]:
        raise StudyError(f"perturbations of shape {tuple(v.shape)} for images {tuple(pixels.shape)}: give [K, *{tuple(pixels.shape[1:])}]")
    if choice is not None and not isinstance(choice, Tensor):
        raise StudyError(f"a choice of {type(choice).__name__}: give a tensor of int64 [{len(pixels)}], a perturbation for each image")
    if choice is not None and (choice.dtype != torch.int64 or tuple(choice.shape) != (len(pixels),)):
        raise StudyError(
            f"a choice of {choice.dtype}, shape {tuple(choice.shape)}: give int64 [{len(pixels)}], a perturbation for each image"
        )
    if choice is not None and choice.numel() and not 0 <= int(choice.min()) <= int(choice.max()) < len(v):
        raise StudyError(f"a choice from {int(choice.min())} to {int(choice.max())}: the perturbations are 0 to {len(v) - 1}")


def stack(v: Tensor) -> None:
    """Refuse perturbations that are not finite float32 ``[K, C, H, W]``."""
    if not isinstance(v, Tensor):
        raise StudyError(f"perturbations are a {type(v).__name__}: give a tensor, float32 [K, C, H, W] (of a bank: bank.perturbations)")
    if v.ndim != 4 or not len(v):
        raise StudyError(f"perturbations of shape {tuple(v.shape)}: give one or more, [K, C, H, W] (a single one: v[None])")
    if v.dtype != torch.float32 or not bool(v.isfinite().all()):
        raise StudyError(f"perturbations of {v.dtype}, or with NaN or infinity: give finite float32, in pixels (0-255)")


def to_learn_from(v: Tensor, pixels: Tensor) -> None:
    """As :func:`perturbations`; and refuse those that are all zero, and warn of those that no pixel shows."""
    perturbations(v, pixels)
    largest = float(v.abs().max())
    if largest == 0:
        raise StudyError("the perturbations to train on are all zero: give some that fool the network")
    if largest < 1:
        text = f"the perturbations to train on are at most {largest:.3g} pixels of 0-255: if they are for images in [0, 1], give v * 255"
        warn(text, StudyWarning, stacklevel=3)


def logits(outputs: Any, count: int) -> Tensor:
    """What a network made of ``count`` images, if it is logits: finite float32 ``[count, classes]``, two or more classes."""
    outputs = alone(outputs)
    if outputs.ndim != 2 or len(outputs) != count or outputs.shape[1] < 2:
        remedy = "give one row of two or more logits for each image, [N, classes]"
        if outputs.numel() == count:
            remedy = "one logit z for two classes becomes torch.stack([-z, z], 1) / 2, [N, 2]"
        raise StudyError(f"the network gives {tuple(outputs.shape)} for {count} images: {remedy}")
    if outputs.dtype != torch.float32:
        raise StudyError(f"the network gives {outputs.dtype}: make it float32 (network.float())")
    if not bool(outputs.isfinite().all()):
        raise StudyError("the network gives NaN or infinity: are its weights finite, and are pixels of 0-255 what it expects?")
    if count and bool((outputs >= 0).all()) and bool(((outputs.sum(1) - 1).abs() < SUM).all()):
        raise StudyError("the network gives probabilities (no value below 0, every row sums to 1): give the network before its softmax")
    return outputs


def alone(outputs: Any) -> Tensor:
    """What a network gives, in whichever mode, if it is one tensor: not logits beside those of auxiliary heads, or in a dictionary."""
    if not isinstance(outputs, Tensor):
        remedy = "wrap it in a module that gives the logits alone, [N, classes], in train mode too"
        raise StudyError(f"the network gives a {type(outputs).__name__}: {remedy}")
    return outputs


def network(network: nn.Module, pixels: Tensor, *, gradients: bool = False) -> int:
    """How many classes ``network`` tells apart, once it has kept the contract on the first ``PROBE`` images.

    With ``gradients`` it must have one, at these or at ``SOME`` of all, that is finite and not zero everywhere.
    """
    with evaluating(network), undisturbed(network), torch.set_grad_enabled(gradients):
        outputs, x = probed(network, pixels[:PROBE], gradients=gradients)
        if gradients and len(x) and not some_gradient(outputs, x):
            spread = torch.linspace(0, len(pixels) - 1, min(SOME, len(pixels))).long()  # the first may be black
            if not some_gradient(*probed(network, pixels[spread], gradients=True)):
                reason = "something in it is constant, rounds, or runs without gradients (detach, no_grad, NumPy)"
                raise StudyError(f"the network's gradient at the images is zero everywhere, so no attack can follow it: {reason}")
    return outputs.shape[1]


def probed(network: nn.Module, pixels: Tensor, *, gradients: bool) -> tuple[Tensor, Tensor]:
    """The logits of images that the network leaves as they are, and the images as float32."""
    x = as_input(pixels).requires_grad_(gradients)
    given = x * 1  # a copy
    outputs = logits(ran(network, given), len(x))
    if not torch.equal(given, x):
        raise StudyError("the network writes into the images that it is given: make its first operation one that is not in place")
    return outputs, x


def ran(network: nn.Module, x: Tensor) -> Any:
    """The network's output; :class:`StudyError` where it does not take such images."""
    try:
        return network(x)
    except (StudyError, torch.OutOfMemoryError):
        raise
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError, AssertionError) as error:
        remedy = "give images of the channels and the size it was made for"
        if any(p.dtype != torch.float32 for p in network.parameters() if p.is_floating_point()):
            remedy = "make it float32 (network.float())"
        elif elsewhere := {str(p.device) for p in network.parameters() if p.device != x.device}:
            remedy = f"it lies on {', '.join(sorted(elsewhere))}, the images on {x.device}: call regen_lib.start() first, and move it there"
        raise StudyError(f"the network fails on float32 images {tuple(x.shape)} ({error}): {remedy}") from error


def some_gradient(outputs: Tensor, x: Tensor) -> bool:
    """Whether the logits change with the images ``x``, as far as gradients say; :class:`StudyError` where these are not finite."""
    gradient = None
    if outputs.requires_grad:
        spread = torch.linspace(-1, 1, outputs.shape[1], device=outputs.device)
        (gradient,) = torch.autograd.grad((outputs * spread).sum(), x, allow_unused=True)
    if gradient is None or not bool(gradient.any()):
        return False
    if not bool(gradient.isfinite().all()):
        raise StudyError("the network's gradient at the images holds NaN or infinity: no attack can follow it; look for a 0 / 0 in it")
    return True
