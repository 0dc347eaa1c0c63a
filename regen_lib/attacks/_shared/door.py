"""The door of every attack: what it is given and what it made keep the contract (:mod:`regen_lib.core.contract`)."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from inspect import signature
from typing import Any, TypeVar, cast
from warnings import warn

from torch import Tensor, nn

from regen_lib.core import contract, options
from regen_lib.core.errors import StudyError, StudyWarning
from regen_lib.core.gradients import gradients_counted
from regen_lib.core.modes import differentiating
from regen_lib.core.perturbations import Bank, Threat
from regen_lib.core.seeding import whole

FILLED = 0.5  # of xi: a perturbation below this that does not reach its target has not been let grow
F = TypeVar("F", bound=Callable[..., Bank])


def attack(*, gradients: bool = True, shared: bool = False) -> Callable[[F], F]:
    """A decorator: what the attack is given and what it made checked, its gradients counted, the network left as it was.

    ``gradients``: the attack follows them. ``shared``: its perturbations are made from all images together, not each from
    a part of its own. :class:`StudyError` for what breaks the contract.
    """

    def door(function: F) -> F:
        @wraps(function)
        def checked(network: nn.Module, pixels: Tensor, threat: Threat, **asked: Any) -> Bank:
            if "seed" in asked:
                asked["seed"] = whole(asked["seed"])
            given = signature(function).bind(network, pixels, threat, **asked)
            given.apply_defaults()
            contract.images(pixels)
            in_pixels(threat)
            options.check(function, {key: value for key, value in given.arguments.items() if key in options.options(function)})
            enough_images(given.arguments["count"], len(pixels))
            with differentiating():
                classes = contract.network(network, pixels, gradients=gradients)
                of_classes(given.arguments, classes, len(pixels))
                enough(asked.get("batch"), len(pixels) if shared else len(pixels) // given.arguments["count"])
                with contract.evaluating(network), gradients_counted(network) as counted:
                    bank = function(network, pixels, threat, **asked)
            grown(bank)
            return replace(bank, gradients=sum(counted) / len(bank))

        vars(checked).update(gradients=gradients, shared=shared)
        return cast(F, checked)

    return door


def enough_images(count: int, images: int) -> None:
    """Refuse more perturbations than there are images."""
    if count > images:
        raise StudyError(f"{count} perturbations from {images} images: each needs at least one image of its own")


def large_enough(attack: str, pixels: Tensor, side: int) -> None:
    """Refuse images ``[N, C, H, W]`` of a height or width below ``side``: what the attack computes there is not defined."""
    if min(pixels.shape[2:]) < side:
        found = f"images {pixels.shape[2]} x {pixels.shape[3]}"
        raise StudyError(f"{attack} on {found}: it takes sides of {side} or more; enlarge them, or choose another attack")


def in_pixels(threat: Threat) -> None:
    """Refuse what is no threat, and warn of a bound below one pixel: it may be meant for images in [0, 1]."""
    if not isinstance(threat, Threat):
        raise StudyError(f"the threat is a {type(threat).__name__}: give regen_lib.Threat(norm, xi)")
    if threat.xi < 1:
        warn(
            f"xi is {threat.xi:.3g} pixels of 0-255: if it is meant for images in [0, 1], give {threat.xi:.3g} * 255",
            StudyWarning,
            stacklevel=3,
        )


def of_classes(given: Mapping[str, Any], classes: int, count: int) -> None:
    """Refuse a class to aim at, or labels to lead away from, that the network does not have."""
    towards = given.get("towards")
    if towards is not None and (isinstance(towards, bool) or towards not in range(classes)):
        raise StudyError(f"towards {towards!r}: the network has the classes 0 to {classes - 1}; None aims at no class")
    if given.get("labels") is not None:
        contract.labels(given["labels"], count, classes)


def enough(batch: Any, each: int) -> None:
    """Refuse a ``batch`` asked for that is larger than the ``each`` images that a perturbation is made from."""
    if batch is not None and batch > each:
        raise StudyError(f"batch {batch}, but each perturbation has {each} images: give more images, or a batch of at most {each}")


def grown(bank: Bank) -> None:
    """Refuse perturbations that stayed at zero; warn of those far below ``xi`` that do not fool as many images as asked."""
    sizes, threat = bank.threat.size(bank.perturbations), bank.threat
    for k, (size, ratio) in enumerate(zip(sizes.tolist(), bank.fooling, strict=True)):
        of = f"{bank.attack} on {bank.network}: perturbation {k + 1} of {len(bank)}"
        if size == 0:
            why = "the loss has no gradient there (logits so far apart that they saturate the softmax?), or no step was accepted"
            raise StudyError(f"{of} stayed at zero: {why}; scale the logits down, or give more images or passes")
        if size < FILLED * threat.xi and ratio < threat.target:
            text = f"{of} has norm {size:.3g}, xi is {threat.xi:g}, and it fools {ratio:.2f}: give it more passes or larger steps"
            warn(text, StudyWarning, stacklevel=3)
            return
