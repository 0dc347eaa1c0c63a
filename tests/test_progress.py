"""Progress bars in a notebook: what they are named, and their colour at the end."""

import gc
import math
from typing import Any

import pytest
from torch import nn
from tqdm.notebook import tqdm_notebook

from regen_lib.attacks import find
from regen_lib.attacks._shared import side_by_side
from regen_lib.core.images import Images
from regen_lib.core.perturbations import Threat
from regen_lib.core.progress import Bar, finish

Widget: Any = type("Widget", (tqdm_notebook,), {"__iter__": Bar.__iter__})  # what Bar is in a notebook


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The bars that attacks show from now on, as widgets."""
    made: list[Any] = []

    def bar(*arguments: Any, **options: Any) -> Any:
        made.append(Widget(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(side_by_side, "tqdm", bar)
    return made


def color(bar: Any) -> str:
    gc.collect()
    return str(bar.container.children[1].bar_style)


@pytest.mark.parametrize(
    ("attack", "options"),
    [
        ("uap", {"passes": 9, "batch": 8, "classes": 3}),
        ("spgd", {"passes": 9, "batch": 8}),
        ("sga", {"passes": 9, "batch": 16, "inner": 4, "repeats": 1}),
        ("nag", {"passes": 9, "batch": 16}),
        ("gap", {"passes": 9, "batch": 16}),
    ],
)
def test_an_attack_that_ends_early_ends_green(attack: str, options: dict[str, Any], network: Any, images: Images, bars: list[Any]) -> None:
    network.family = "toy"
    find(attack)(network, images.pixels, Threat(math.inf, 255.0, 0.01), seed=0, count=1, **options)
    (bar,) = bars
    assert bar.n < 9
    assert bar.desc == f"{attack}, toy"
    assert color(bar) == "success"


def broken(steps: Any) -> None:
    for _ in steps:
        raise ValueError


def test_an_error_stays_red(bars: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        broken(side_by_side.progress_bar(range(3), "uap", nn.Identity()))
    assert color(bars[0]) == "danger"
    assert bars[0].desc == "uap, Identity"


def test_a_loop_that_is_left_is_green_only_where_it_is_finished() -> None:
    left, finished = Widget(range(3)), Widget(range(3))
    for bar in (left, finished):
        for _ in bar:
            if bar is finished:
                finish(bar)
            break
    assert (color(left), color(finished)) == ("danger", "success")
