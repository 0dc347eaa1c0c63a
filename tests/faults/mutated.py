"""Parameter files with one mistake each (:mod:`tests.faults.parameters`), given to the check."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random

from regen_lib.study.params import load_params
from tests.faults.fault import Fault, expect
from tests.faults.parameters import Mutation, mutations

COUNT = 300  # of the mutations, in their random order
FILE = Path("params.yaml")


def attempt(mutation: Mutation, project: Path) -> None:
    """Check a file: a mistake is refused, what is none is taken."""
    if isinstance(mutation.text, bytes):
        FILE.write_bytes(mutation.text)
    else:
        FILE.write_text(mutation.text, encoding="utf-8")
    load_params(FILE)
    expect(not mutation.refused, "a mistake passes the check")


def faults(rng: Random) -> Iterator[Fault]:
    """Some of the mutations, drawn by the seed."""
    for mutation in islice(mutations(rng.randrange(2**31)), COUNT):
        yield Fault("parameters", f"{mutation.kind}: {mutation.name}", partial(attempt, mutation), names=FILE.name, cost=0.2)
