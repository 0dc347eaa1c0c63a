"""What was typed into a notebook is in no file, and counts all the same when a training is taken up."""

import sys
import types

import pytest
import torch

from regen_lib.training import identity

TYPED = """
import torch
WEIGHT = 1.0

def scaled(x):
    return WEIGHT * x

class Base(torch.nn.Module):
    def half(self, x):
        return x / 2

class Net(Base):
    def __init__(self):
        super().__init__()
        self._eps = 0.1
        self.layer = torch.nn.Linear(2, 2)

    def forward(self, x):
        return self.half(self.layer(x)) + self._eps

def objective(x, y, rng):
    return scaled(x).sum()
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [("WEIGHT = 1.0", "WEIGHT = 5.0"), ("WEIGHT * x", "WEIGHT + x"), ("x / 2", "x / 3"), ("self._eps = 0.1", "self._eps = 0.2")],
)
def test_what_was_typed_into_a_notebook_counts(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """It is in no file: constants, functions that others call, methods, attributes that begin with an underline."""

    def made(text: str) -> dict[str, str]:
        typed = types.ModuleType("typed")
        monkeypatch.setitem(sys.modules, "typed", typed)
        exec(text, vars(typed))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return identity.identity(network=typed.Net(), objective=typed.objective)

    assert made(TYPED) == made(TYPED)
    assert made(TYPED) != made(TYPED.replace(old, new))
