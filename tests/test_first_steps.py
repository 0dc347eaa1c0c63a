"""What three readers do first: the steps exist, links are followed, failures have names."""

import os
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.first_steps import LINK, QUICKSTART, STEPS, Step, environment, lead, take, walk
from benchmarks.sheets import first_steps
from regen_lib.core.errors import StudyError
from tests.repository import REPOSITORY


def test_the_pages_lead_from_one_to_the_next() -> None:
    paths = [step.pages for step in STEPS if step.pages]
    assert paths
    for pages in paths:
        lead(pages, REPOSITORY)


def test_a_page_that_does_not_lead_on_is_named(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.md").write_text("[b](sub/b.md#part) and [gone](gone.md)")
    (tmp_path / "sub/b.md").write_text("[a](../a.md)")
    lead(("a.md", "sub/b.md", "a.md"), tmp_path)
    for following in ("a.md", "gone.md"):
        with pytest.raises(StudyError, match=rf"a\.md does not lead to {re.escape(following)}"):
            lead(("a.md", following), tmp_path)


def test_links_are_read_as_written() -> None:
    assert LINK.findall("[a](x.md) ![b](y.png) [c](z.md#part) [d](#here)") == ["x.md", "y.png", "z.md"]


def test_make_has_the_targets() -> None:
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    asked = {step.command.split()[1] for step in STEPS if step.command.startswith("make ")}
    assert asked
    assert asked <= targets


def test_the_quickstart_is_the_readmes() -> None:
    (code,) = QUICKSTART.findall((REPOSITORY / "README.md").read_text())
    assert code.startswith("import torch\n")
    assert code.endswith('print(table.set_index("network").round(3).T)\n')


def test_a_failed_step_says_which(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="false failed in a fresh clone"):
        take(Step("student", "", "false"), tmp_path)
    with pytest.raises(StudyError, match=r"false \| cat failed"):
        take(Step("student", "", "false | cat"), tmp_path)
    with pytest.raises(StudyError, match=r"true made no page\.html"):
        take(Step("student", "", "true", gives="page.html"), tmp_path)
    assert 0.2 <= take(Step("student", "", "sleep 0.2 && touch page.html", gives="page.html"), tmp_path) < 10


def test_a_newcomers_shell_has_nothing_of_this_environment() -> None:
    active = os.pathsep.join([str(Path(sys.prefix) / "bin"), "/usr/bin"])
    found = environment({"PATH": active, "PYTHONPATH": "x", "VIRTUAL_ENV": "y", "HOME": "/home"})
    assert found == {"PATH": "/usr/bin", "HOME": "/home"}


def test_a_row_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = (Step("student", "begin", "echo {root} > README.md", gives="README.md"), Step("reviewer", "read", pages=("a.md", "b.md")))
    monkeypatch.setattr("benchmarks.first_steps.STEPS", steps)
    (tmp_path / "a.md").write_text("[b](b.md)")
    (tmp_path / "b.md").touch()
    first, second = walk(tmp_path, tmp_path / "pictures")
    assert (tmp_path / "README.md").read_text().strip() == str(REPOSITORY)
    assert first["done"] == "echo ... > README.md"
    assert second["done"] == "a.md → b.md"


def test_time_is_counted_from_the_clone() -> None:
    rows = [
        ("student", "take", "git clone .", 2.0),
        ("student", "make", "make setup | tee x", 200.4),
        ("reviewer", "read", "a.md → b.md", 0.0),
    ]
    rows += [("reviewer", "build", "make docs", 60.0)]
    table = pd.DataFrame(rows, columns=["reader", "aim", "done", "seconds"]).assign(machine="a processor")
    lines = first_steps(table).splitlines()
    assert lines[2:6] == [
        "| student | take | `git clone .` | 2 s | 2 s |",
        r"| student | make | `make setup \| tee x` | 200 s | 202 s |",
        "| reviewer | read | `a.md` → `b.md` | 0 s | 2 s |",
        "| reviewer | build | `make docs` | 60 s | 62 s |",
    ]
    assert lines[-1] == "a processor."
