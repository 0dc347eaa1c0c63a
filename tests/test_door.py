"""The door of the attacks: options and networks with which none could move, and what one made, are looked at."""

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from regen_lib import attacks
from regen_lib.attacks._shared.door import grown
from regen_lib.attacks.spgd import spgd
from regen_lib.core.errors import StudyError, StudyWarning
from regen_lib.core.perturbations import Bank, Threat
from tests.small_attacks import OPTIONS
from tests.test_contract import IMAGES, INF, Wrap, attack, small

NO_GRADIENT: dict[str, Callable[[Tensor], Tensor]] = {
    "detached": lambda z: z.detach(),
    "rounded": lambda z: z.round(),
    "constant": lambda z: z * 0 + torch.arange(5.0),
}


@pytest.mark.parametrize("name", [name for name in OPTIONS if vars(attacks.find(name))["gradients"]])
@pytest.mark.parametrize("kind", NO_GRADIENT)
def test_a_gradient_that_is_zero_everywhere_is_named(name: str, kind: str) -> None:
    with pytest.raises(StudyError, match="gradient at the images is zero everywhere"):
        attack(name, Wrap(NO_GRADIENT[kind]).eval())


def test_random_signs_need_no_gradient() -> None:
    assert len(attack("random_signs", Wrap(NO_GRADIENT["rounded"]).eval())) == 2


@pytest.mark.parametrize("name", ["spgd", "sga"])
def test_a_perturbation_that_stays_at_zero_is_named(name: str) -> None:
    """Logits so far apart that the softmax of float32 is exactly one class's."""
    with pytest.raises(StudyError, match=r"perturbation 1 of 2 stayed at zero.*scale the logits down"):
        attack(name, Wrap(lambda z: z * 1e9).eval())


def test_a_perturbation_far_below_xi_is_warned_of_once() -> None:
    network = small().eval()
    with pytest.warns(StudyWarning, match=r"norm 0.4, xi is 40.*more passes or larger steps") as caught:
        spgd(network, IMAGES.pixels, INF, seed=0, count=2, passes=1, batch=8, step=0.01)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spgd(network, IMAGES.pixels, INF, seed=0, count=2, passes=3, batch=4, step=0.2)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("spgd", {"count": 0}, "count is 0: give a whole number, 1 or more"),
        ("spgd", {"count": 2.0}, "count is 2.0: give a whole number, 1 or more"),
        ("spgd", {"passes": 0}, "passes is 0: give a whole number, 1 or more"),
        ("spgd", {"step": 0}, "step is 0: give a number above 0"),
        ("spgd", {"step": math.nan}, "step is nan: give a number above 0"),
        ("spgd", {"patience": 0}, "patience is 0: give a whole number, 1 or more, or null"),
        ("spgd", {"towards": -1}, "towards is -1: give a whole number, 0 or more, or null"),
        ("gap", {"towards": True}, "towards is True: give"),
        ("spgd", {"towards": 5}, "towards 5: the network has the classes 0 to 4"),
        ("spgd", {"labels": torch.arange(16)}, "labels from 0 to 15"),
        ("spgd", {"batch": 9}, "batch 9, but each perturbation has 8 images"),
        ("spgd", {"batch": True}, "batch is True: give"),
        ("sga", {"repeats": 0}, "repeats is 0"),
        ("sga", {"inner": -1}, "inner is -1"),
        ("uap", {"classes": 1}, "classes is 1: give a whole number, 2 or more"),
        ("gd_uap", {"batch": 17}, "batch 17, but each perturbation has 16 images"),
        ("singular_fool", {"depths": ()}, r"depths is \(\): give a list, each a number above 0 and at most 1, at least 1 of them"),
        ("singular_fool", {"depths": (1.5,)}, r"depths is \(1.5,\): give a list, each a number above 0 and at most 1"),
        ("singular_fool", {"layers": ("conv9",)}, "layer 'conv9' is not in the network: choose from 0, 1"),
    ],
)
def test_options_that_let_nothing_move_are_refused(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        attacks.find(name)(small().eval(), IMAGES.pixels, INF, seed=0, **{"count": 2, **options})


def test_numbers_of_numpy_are_numbers() -> None:
    bank = spgd(small().eval(), IMAGES.pixels, INF, seed=0, count=np.int64(2), passes=np.int32(3), batch=4, step=np.float32(0.25))
    assert torch.equal(
        bank.perturbations, spgd(small().eval(), IMAGES.pixels, INF, seed=0, count=2, passes=3, batch=4, step=0.25).perturbations
    )


def test_a_bound_for_images_in_0_1_is_warned_of() -> None:
    with pytest.warns(StudyWarning, match=r"xi is 0.0314 pixels of 0-255: if it is meant for images in \[0, 1\], give 0.0314 \* 255"):
        spgd(small().eval(), IMAGES.pixels, Threat(math.inf, 8 / 255, 1.0), seed=0, count=2, passes=3, batch=4)


def test_too_many_members_for_the_images() -> None:
    for name in OPTIONS:
        with pytest.raises(StudyError, match="17 perturbations from 16 images: each needs at least one"):
            attacks.find(name)(small().eval(), IMAGES.pixels, INF, seed=0, count=17)


def test_a_small_perturbation_that_fools_as_asked_is_not_warned_of() -> None:
    bank = Bank(torch.ones(1, 3, 4, 4), Threat(math.inf, 40.0, 0.5), "spgd", "n", "hash", 0, (0.5,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grown(bank)
    with pytest.warns(StudyWarning, match="norm 1, xi is 40"):
        grown(replace(bank, fooling=(0.49,)))
