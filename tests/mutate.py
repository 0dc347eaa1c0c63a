"""Do the tests notice a fault? ``python -m tests.mutate`` puts faults in one at a time and prints which of them survive.

Each mutation of :mod:`tests.mutations` goes into a copy of the repository in a temporary folder; the tests that it names run
there, up to the first that fails. Exit status 1 where a mutation survives, can no longer be put in, or its tests do not run;
they run without any mutation first, and must pass. ``--only TEXT``: mutations with this text in their name or file.
"""

import argparse
import importlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path

from tests.mutations import MUTATIONS, Mutation
from tests.repository import REPOSITORY

# loaded once, before a process is forked for each mutation: they take longer than most of the tests
HEAVY = (
    "torch",
    "torch.func",
    "torchvision",
    "pandas",
    "pytest",
    "hypothesis",
    "matplotlib.pyplot",
    "seaborn",
    "scipy.stats",
    "sklearn.svm",
)
OUTCOMES = {0: "survived", 1: "caught"}


def copy_to(target: Path) -> None:
    """The repository's tracked files and new ones, as they are now."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (REPOSITORY / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, target / name)


def put_in(mutation: Mutation, root: Path) -> bool:
    """Write the mutated file below ``root``; False where its old text does not stand there exactly once."""
    path = root / mutation.file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if text.count(mutation.old) != 1:
        return False
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    return True


def run_tests(root: Path, tests: Sequence[str], log: Path) -> None:
    """In a process of its own: pytest in ``root``; ends the process with pytest's status. What it says goes to ``log``."""
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "regen_lib", "benchmarks")]:
        del sys.modules[name]
    os.chdir(root)
    sys.path[:] = [str(root), *(path for path in sys.path if path not in ("", str(REPOSITORY)))]
    sys.dont_write_bytecode = True
    import pytest

    status = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))
    sys.stdout.flush()
    os._exit(status)


class Trial:
    """The tests of one mutation (or of none) in a copy of the repository, in a process of its own, from the start on."""

    def __init__(self, mutation: Mutation | None, tests: Sequence[str]) -> None:
        self.mutation, self.folder = mutation, Path(tempfile.mkdtemp(prefix="mutation-"))
        copy_to(self.folder / "copy")
        self.fits = mutation is None or put_in(mutation, self.folder / "copy")
        arguments = (self.folder / "copy", tests if self.fits else ["--version"], self.folder / "log")
        self.process = multiprocessing.get_context("fork").Process(target=run_tests, args=arguments)
        self.process.start()

    def end(self) -> str:
        """Wait; ``caught``, ``survived`` or what went wrong. Leaves nothing behind."""
        self.process.join()
        status, said = self.process.exitcode, (self.folder / "log").read_text()
        shutil.rmtree(self.folder)
        if not self.fits:
            return "not found"
        if status not in OUTCOMES or (self.mutation is None and status):
            print(said[-3000:], file=sys.stderr)
        return OUTCOMES.get(-1 if status is None else status, f"not run (status {status})")


def outcomes(mutations: Sequence[Mutation], jobs: int) -> Iterator[tuple[Mutation, str]]:
    """Each mutation and its outcome, as they come in; ``jobs`` at a time."""
    waiting, running = list(reversed(mutations)), dict[int, Trial]()
    while waiting or running:
        while waiting and len(running) < jobs:
            trial = Trial(waiting[-1], waiting.pop().tests)
            running[trial.process.sentinel] = trial
        for sentinel in wait(list(running)):
            ended = running.pop(int(sentinel))
            assert ended.mutation is not None
            yield ended.mutation, ended.end()


def chosen(only: str | None) -> list[Mutation]:
    """Those with ``only`` in their name or file."""
    return [m for m in MUTATIONS if only is None or only in m.name or only in m.file]


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description="Do the tests notice a fault?")
    parser.add_argument("--only", metavar="TEXT", help="mutations with this text in their name or file")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at once (default: one per core)")
    options = parser.parse_args(arguments)
    mutations = chosen(options.only)
    if not mutations:
        print(f"error: no mutation has {options.only!r} in its name or file", file=sys.stderr)
        return 2
    os.environ |= {"OMP_NUM_THREADS": "1", "TRITON_INTERPRET": "1", "MPLBACKEND": "agg"}
    for name in HEAVY:
        importlib.import_module(name)
    tests = sorted({test for mutation in mutations for test in mutation.tests})
    if Trial(None, tests).end() != "survived":
        print("error: these tests fail without a mutation: mend them first", ", ".join(tests), file=sys.stderr)
        return 2
    found: dict[Mutation, str] = {}
    for mutation, result in outcomes(mutations, max(1, options.jobs)):
        found[mutation] = result
        print(f"{len(found):3d} of {len(mutations)}  {result:9s}  {mutation.file}: {mutation.name}", flush=True)
    bad = [mutation for mutation in mutations if found[mutation] != "caught"]
    print(f"\n{len(mutations) - len(bad)} of {len(mutations)} caught")
    for mutation in bad:
        print(
            f"{found[mutation]}: {mutation.file}: {mutation.name}: {mutation.old!r} -> {mutation.new!r}; tests: {', '.join(mutation.tests)}"
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
