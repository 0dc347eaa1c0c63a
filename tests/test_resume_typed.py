"""What a user wrote counts when a training is taken up: what was typed or piped is in no file, and a file's globals are not in it."""

import argparse
import collections
import functools
import importlib
import logging
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from tqdm import tqdm

from regen_lib.training import identity
from regen_lib.training.description import described
from regen_lib.training.recipe import Recipe
from regen_lib.training.written import source

TYPED = """
import functools
import torch
WEIGHT = 1.0
LIMITS = {"low": torch.zeros(2)}

def made(factor):
    return lambda x: x * factor

stretched = made(2.0)

def scaled(x, power=1.0):
    return WEIGHT * stretched(x) ** power

@functools.lru_cache
def cached(): return 7.0

class Base(torch.nn.Module):
    half_of = 2

    def half(self, x):
        return x / 2 + self.half_of

class Net(Base):
    def __init__(self):
        super().__init__()
        self._eps = 0.1
        self.layer = torch.nn.Linear(2, 2)

    def forward(self, x):
        return self.half(self.layer(x)) + self._eps

class Objective:
    __slots__ = ("given",)
    share = 0.5

    def __init__(self, given):
        self.given = given

    @staticmethod
    def fixed(): return 3.0

    @classmethod
    def of_class(cls): return 4.0

    @property
    def shown(self): return 5.0

    def __call__(self, x, y, rng):
        return scaled(x).sum() * self.share * self.fixed() * self.of_class() * self.shown * cached() + LIMITS["low"].sum() * even(3)

def even(n): return n == 0 or odd(n - 1)

def odd(n): return n != 0 and even(n - 1)

objective = Objective(6.0)
"""
OTHER = [
    ("WEIGHT = 1.0", "WEIGHT = 5.0"),
    ("zeros(2)", "ones(2)"),
    ("made(2.0)", "made(2.5)"),
    ("power=1.0", "power=1.5"),
    ("WEIGHT * s", "WEIGHT + s"),
    ("7.0", "7.5"),
    ("half_of = 2", "half_of = 3"),
    ("x / 2", "x / 3"),
    ("class Net(Base)", "class Net(torch.nn.Sequential, Base)"),
    ("self._eps = 0.1", "self._eps = 0.2"),
    ("share = 0.5", "share = 0.6"),
    ("3.0", "3.5"),
    ("4.0", "4.5"),
    ("5.0", "5.5"),
    ("6.0", "6.5"),
    ("n != 0", "n > 0"),
]


@pytest.mark.parametrize("file", [None, "<stdin>"])
@pytest.mark.parametrize(("old", "new"), OTHER)
def test_what_is_in_no_file_counts(monkeypatch: pytest.MonkeyPatch, file: str | None, old: str, new: str) -> None:
    """Constants, functions that others call with their defaults and closures, members of classes, attributes."""

    def made(text: str) -> dict[str, str]:
        typed = types.ModuleType("typed")
        typed.__file__ = file
        monkeypatch.setitem(sys.modules, "typed", typed)
        source.cache_clear()
        exec(text, vars(typed))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return identity.identity(network=typed.Net(), objective=typed.objective)

    assert TYPED.count(old) == 1
    assert made(TYPED) == made(TYPED)
    assert made(TYPED) != made(TYPED.replace(old, new))


SCRIPT = """
import os
import settings

SHARE = float(os.environ["SHARE"])

class Recipe:
    share = SHARE

def by_global(x, y, rng): return x * SHARE

def by_module(x, y, rng): return x * settings.share

def by_class(x, y, rng): return x * Recipe.share

def by_helper(x, y, rng): return by_global(x, y, rng)

class Callable:
    def __call__(self, x, y, rng): return x * SHARE

by_method = Callable()

def by_none(x, y, rng): return x
"""


@pytest.mark.parametrize("name", ["by_global", "by_module", "by_class", "by_helper", "by_method", "by_none"])
def test_what_a_file_takes_from_outside_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """From the command line or the environment: the file is the same, its globals are not. What a function does not use does not."""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "settings.py").write_text("import os\nshare = float(os.environ['SHARE'])\n")
    monkeypatch.syspath_prepend(tmp_path)

    def run(share: str) -> str:
        monkeypatch.setenv("SHARE", share)
        for module in ("script", "settings"):
            monkeypatch.delitem(sys.modules, module, raising=False)
        return described(getattr(importlib.import_module("script"), name))

    assert run("0.1") == run("0.1")
    assert (run("0.1") == run("0.3")) == (name == "by_none")


class Meter:
    """An object of a user's, which holds what cannot be told apart, and itself."""

    def __init__(self, share: float) -> None:
        self.share, self.lock, self.bar, self.me = share, threading.Lock(), tqdm(total=1, disable=True), self

    def shared(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.share


KINDS: dict[str, Callable[[float], object]] = {
    "a list": lambda share: [1, (share, "a")],
    "a queue": lambda share: collections.deque([share]),
    "an array": lambda share: np.array([share]),
    "an array of objects": lambda share: np.array([[share], None], object),
    "arguments": lambda share: argparse.Namespace(share=share),
    "a namespace": lambda share: types.SimpleNamespace(share=share),
    "a recipe": lambda share: Recipe(1, share),
    "a network": lambda share: nn.Dropout(share),
    "a distribution": lambda share: torch.distributions.Beta(share, 0.2),
    "a partial": lambda share: functools.partial(torch.mul, share),
    "a bound method": lambda share: Meter(share).shared,
    "a set": lambda share: {share, "a"},
}
VALUE: Any = None


def valued(x: torch.Tensor, y: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    return x * VALUE


@pytest.mark.parametrize("kind", KINDS)
def test_globals_of_every_kind_count(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def made(share: float) -> str:
        monkeypatch.setitem(globals(), "VALUE", KINDS[kind](share))
        return described(valued)

    assert made(0.1) == made(0.1) != made(0.3)


LOG, BAR, LOCK = logging.getLogger("resume"), tqdm(total=9, disable=True), threading.Lock()
DIARY = Path("diary")
METER = Meter(0.1)


def talkative(x: torch.Tensor, y: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    with LOCK, DIARY.open("a") as diary:
        diary.write("another batch")
    LOG.warning("another batch")
    BAR.update()
    METER.bar.update()
    return x * METER.share


def test_who_is_told_of_a_training_is_no_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loggers, bars and files change with each run; the numbers beside them count."""
    monkeypatch.chdir(tmp_path)
    before = described(talkative)
    talkative(torch.ones(1), torch.ones(1), torch.Generator())
    monkeypatch.setattr(LOG, "level", logging.ERROR)
    monkeypatch.setitem(globals(), "LOCK", threading.Lock())
    assert described(talkative) == before
    monkeypatch.setitem(globals(), "METER", Meter(0.3))
    assert described(talkative) != before


def test_what_is_passed_over_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed class's object is looked through up to the first thing that cannot be told apart: what was found until then goes too."""

    def made(number: int) -> str:
        held = argparse.Namespace(count=number, call=lambda: number, lock=threading.Lock())
        monkeypatch.setitem(globals(), "BAR", held)
        return described(talkative)

    assert made(1) == made(2)


images = torch.zeros(1)


def named_alike(x: torch.Tensor, y: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    return x.images


def test_an_attribute_is_no_global_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    before = described(named_alike)
    monkeypatch.setitem(globals(), "images", torch.ones(1))
    assert described(named_alike) == before


HOOKS: dict[str, Callable[[nn.Module, float], object]] = {
    "forward": lambda net, by: net.register_forward_hook(lambda module, inputs, output: output * by),
    "forward, with keywords": lambda net, by: net.register_forward_hook(lambda module, inputs, kw, output: output * by, with_kwargs=True),
    "before forward": lambda net, by: net.register_forward_pre_hook(lambda module, inputs: (inputs[0] * by,)),
    "backward": lambda net, by: net.register_full_backward_hook(lambda module, inputs, outputs: (inputs[0] * by,)),
    "before backward": lambda net, by: net.register_full_backward_pre_hook(lambda module, outputs: (outputs[0] * by,)),
    "a weight's gradient": lambda net, by: net.weight.register_hook(lambda gradient: gradient * by),
    "a weight's step": lambda net, by: net.weight.register_post_accumulate_grad_hook(lambda weight: weight.grad.mul_(by)),
}


@pytest.mark.parametrize("kind", HOOKS)
def test_hooks_count(kind: str) -> None:
    """Not by their keys, of which each new hook of the process gets the next."""

    def made(*factors: float) -> str:
        net = nn.Linear(2, 2)
        for parameter in net.parameters():
            nn.init.zeros_(parameter)
        for by in factors:
            HOOKS[kind](net, by)
        return described(net)

    assert made(0.1, 0.3) == made(0.1, 0.3)
    assert len({made(), made(0.1), made(0.3), made(0.1, 0.3), made(0.3, 0.1)}) == 5
