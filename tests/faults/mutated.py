"""Parameter files with one mistake each (:mod:`tests.faults.parameters`), given to the check."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random

from regen_lib.core.errors import StudyError
from tests.faults.command import called
from tests.faults.fault import Fault, expect
from tests.faults.parameters import Mutation, mutations

COUNT = 300  # of the mutations, in their random order
MANY = 30  # lines of a message on several mistakes
FILE = Path("params.yaml")


def attempt(mutation: Mutation, project: Path) -> None:
    """Check a file: a mistake is refused, what is none is taken."""
    content = mutation.make()
    Path("notebooks").mkdir(exist_ok=True)  # study.source has them
    FILE.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        called(["check"])
    except StudyError as error:
        expect(mutation.named(str(error)), f"does not name {mutation.key}: {error}")
        raise
    expect(not mutation.refused, "a mistake passes the check")


def faults(rng: Random) -> Iterator[Fault]:
    """Some of the mutations, drawn by the seed."""
    for mutation in islice(mutations(rng.randrange(2**31)), COUNT):
        yield Fault(
            "parameters",
            f"{mutation.kind}: {mutation.name}",
            partial(attempt, mutation),
            names=FILE.name,
            lines=2 if mutation.single else MANY,
            cost=0.2,
        )
