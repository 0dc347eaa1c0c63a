"""What three readers do first, each step timed in a fresh clone: ``python -m benchmarks.first_steps`` in an environment that is not its.

Writes ``benchmarks/results/first_steps.csv`` step by step, and pictures of the pages that come of it below ``build/first-steps``.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pandas as pd

from benchmarks.program import status
from regen_lib.core.errors import StudyError
from regen_lib.core.storage import write_table
from regen_lib.study.report.machine import processor

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
QUICKSTART = re.compile(r"<!-- quickstart: .*?-->\n```python\n(.*?)```", re.DOTALL)
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OWN = ("PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL")  # what a newcomer's shell has not


@dataclass(frozen=True)
class Step:
    """Something that a reader does: a ``command``, or the pages that lead from one to the next by their links."""

    reader: str
    aim: str
    command: str = ""
    pages: tuple[str, ...] = ()
    gives: str = ""  # the file that is there afterwards


STEPS = (
    Step("student", "take the repository", "git clone --quiet {root} .", gives="README.md"),
    Step("student", "make the environment", "make setup", gives=".venv/ready"),
    Step("student", "see the method work", "make quick", gives="build/quickstart.html"),
    Step("reviewer", "find every claim with its evidence", pages=("README.md", "docs/report.md", "studies/cifar10/metrics/defenses.csv")),
    Step("reviewer", "read a notebook", pages=("README.md", "docs/reading.md", "notebooks/08_defenses.ipynb")),
    Step("reviewer", "sort all defences", "make docs", gives="build/site/docs/comparison.html"),
    Step("researcher", "install the library alone", "python3 -m venv own && own/bin/pip install --quiet .", gives="own/bin/python"),
    Step("researcher", "defend a network", "own/bin/python quickstart.py | tee quickstart.txt", gives="quickstart.txt"),
)


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Those of a shell in which no environment of the project is active."""
    kept = {key: value for key, value in variables.items() if key not in OWN}
    places = kept["PATH"].split(os.pathsep)
    return kept | {"PATH": os.pathsep.join(place for place in places if Path(place) != Path(sys.prefix) / "bin")}


def lead(pages: tuple[str, ...], folder: Path) -> None:
    """Follow the links from each page to the next.

    Raises:
        StudyError: a page has no link to the next one, or that one is not there.
    """
    for page, following in pairwise(pages):
        found = {(folder / page).parent.joinpath(link).resolve() for link in LINK.findall((folder / page).read_text())}
        target = (folder / following).resolve()
        if target not in found or not target.is_file():
            raise StudyError(f"{page} does not lead to {following}: mend the link, or the steps in benchmarks/first_steps.py")


def take(step: Step, folder: Path) -> float:
    """Do one step in ``folder``, and give the seconds that it took.

    Raises:
        StudyError: its command failed, or what it should give is not there.
    """
    begun = time.monotonic()
    lead(step.pages, folder)
    if step.command:
        shell = ["bash", "-o", "pipefail", "-c", step.command.format(root=ROOT)]
        if subprocess.run(shell, cwd=folder, env=environment(os.environ), check=False).returncode:
            raise StudyError(f"{step.command} failed in a fresh clone: what it printed says why")
    seconds = time.monotonic() - begun
    if step.gives and not (folder / step.gives).is_file():
        raise StudyError(f"{step.command} made no {step.gives}")
    return seconds


def picture(page: Path, target: Path) -> None:
    """What a browser shows of a page, where there is a browser."""
    if BROWSER:
        target.parent.mkdir(parents=True, exist_ok=True)
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1200,1600", f"--screenshot={target}"]
        subprocess.run([BROWSER, *options, page.as_uri()], check=True, capture_output=True, timeout=120)


def walk(folder: Path, pictures: Path) -> Iterator[dict[str, str | float]]:
    """A row a step, all in one clone."""
    for step in STEPS:
        if "quickstart.py" in step.command:
            (code,) = QUICKSTART.findall((folder / "README.md").read_text())
            (folder / "quickstart.py").write_text(code)
        done = step.command.format(root="...") or " → ".join(step.pages)
        yield {"reader": step.reader, "aim": step.aim, "done": done, "gives": step.gives, "seconds": take(step, folder)}
        if step.gives.endswith(".html"):
            picture(folder / step.gives, pictures / Path(step.gives).with_suffix(".png").name)


def main() -> None:
    """Command line."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for row in walk(Path(name), ROOT / "build/first-steps"):
            rows.append(row)
            print(f"{row['done']}: {row['seconds']:.0f} s", flush=True)
            write_table(ROOT / "benchmarks/results/first_steps.csv", pd.DataFrame(rows).assign(machine=processor()))


if __name__ == "__main__":
    sys.exit(status(main))
