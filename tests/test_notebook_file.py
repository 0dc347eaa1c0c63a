"""Notebooks, and code, that are damaged or half merged: what runs them names the file and what to do."""

import json
from pathlib import Path

import nbformat
import pytest

from regen_lib.core import source
from regen_lib.core.errors import StudyError
from regen_lib.data.listing import class_list
from regen_lib.study import __main__
from regen_lib.study.code import code_cells
from regen_lib.study.stage import notebook_parameters
from tests.repository import REPOSITORY

WHOLE = (REPOSITORY / "notebooks/01_filter_norms.ipynb").read_text(encoding="utf-8")
DEEP = 100_000


@pytest.mark.parametrize(
    "content",
    ["", "{}", "null", "[" * DEEP, WHOLE[:-5], WHOLE.replace('"cells"', "<<<<<<< ours\n", 1), json.dumps(json.loads(WHOLE) | {"cells": 5})],
)
def test_what_is_no_notebook_is_named(tmp_path: Path, content: str) -> None:
    (path := tmp_path / "n.ipynb").write_text(content, encoding="utf-8")
    for read in (notebook_parameters, code_cells):
        with pytest.raises(StudyError, match=r"n\.ipynb is damaged, or no notebook: take git's"):
            read(path)


@pytest.mark.parametrize(
    ("cell", "after"),
    [
        ("a = int('0')", "at its beginning"),
        ("a = 0\nb = a", "after a"),
        ("a = [", "at its beginning"),
        ("a = 0\0", "at its beginning"),
        (f"a = {'(' * DEEP}0{')' * DEEP}", "at its beginning"),
    ],
)
def test_parameters_that_are_no_plain_values(tmp_path: Path, cell: str, after: str) -> None:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("a = 0", metadata={"tags": ["parameters"]})])
    made.cells[0].source = cell
    (path := tmp_path / "n.ipynb").write_text(json.dumps(made))
    with pytest.raises(StudyError, match=rf"n\.ipynb: its cell of parameters is no list of plain values {after}: write NAME = VALUE"):
        notebook_parameters(path)


@pytest.mark.parametrize("content", [b"a = '\xe9'\n", b"<<<<<<< ours\n", b"a = 0\0"])
def test_a_module_that_is_no_python_is_named(tmp_path: Path, content: bytes) -> None:
    (path := tmp_path / "m.py").write_bytes(content)
    with pytest.raises(StudyError, match=r"m\.py is no Python in UTF-8 .*: mend it, or take git's"):
        source.read(path)


def test_a_command_that_comes_upon_such_a_module_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_options: object) -> int:
        return int(bool(compile("a = [", "regen_lib/m.py", "exec")))

    monkeypatch.setattr(__main__, "work", broken)
    assert __main__.main(["check"]) == 2
    assert capsys.readouterr().err.startswith("error: regen_lib/m.py, line 1, is no Python (")


def test_a_list_of_classes_that_is_nested_deep(tmp_path: Path) -> None:
    (path := tmp_path / "classes.json").write_text("[" * DEEP + "]" * DEEP)
    with pytest.raises(StudyError, match=r"classes\.json is no list of classes"):
        class_list(path)
