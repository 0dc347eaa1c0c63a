"""Notebooks as they stand in git: thin, with the smoke profile as their defaults, and the outputs of the committed study or none."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from regen_lib.attacks import ROW
from regen_lib.study.outputs import KEY, cleaned, code, outputs_hash
from regen_lib.study.params import load_params
from regen_lib.study.stage import Stage, notebook_parameters
from tests import recorded
from tests.guide import GUIDE, shown
from tests.pipeline import smoke, stages
from tests.repository import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
# these differ under nbval: one network, another folder
OWN = {"root", "raw", "network", "networks", "layers", "units", "strengths_network", "positions"}
OWN |= {"defenses", "defense", "hardened", "fig6_network", "fig6_folder", "folder", "rivals", "fig6_defenses"}


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["cells"]
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_thin(path: Path) -> None:
    found = cells(path)
    assert len(found) <= 25
    assert found[0]["cell_type"] == "markdown"
    for word in ("Inputs", "Outputs", "Time"):
        assert word in "".join(found[0]["source"])
    for cell in found:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            statements = ast.parse(source).body
            imports = all(isinstance(s, ast.Import | ast.ImportFrom) for s in statements)
            lines = [line for line in source.splitlines() if line.strip()]
            assert "parameters" in cell["metadata"].get("tags", []) or len(lines) <= (15 if imports else 10), source
            assert not any(isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse(source)))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_the_studys_or_none(path: Path) -> None:
    """Not those of a run by hand: `python -m regen_lib.study outputs` puts them in, or takes nothing and leaves the notebook as it was."""
    notebook = nbformat.read(path, 4)
    about, has = notebook.metadata.get(KEY, {}), any(cell.outputs or cell.execution_count for cell in code(notebook))
    assert not has or about.get("outputs") == outputs_hash(notebook), f"{path.name} has outputs of another run than the study's: clear them"
    for number, cell in enumerate(code(notebook), 1):
        assert cleaned(cell.outputs, number) == cell.outputs


def test_outputs_are_small() -> None:
    assert sum(path.stat().st_size for path in NOTEBOOKS) < 3_000_000


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.name[0].isdigit()], ids=lambda path: path.stem)
def test_the_first_cell_says_what_is_asked_and_how_to_run_it(path: Path) -> None:
    notebook = nbformat.read(path, 4)
    text, about = " ".join(notebook.cells[0].source.replace("\n>", " ").split()), notebook.metadata.get(KEY, {})
    assert "**Question.**" in text
    assert "smoke profile" in text
    if stage := about.get("stage"):
        (asked,) = [found for found in stages(REPOSITORY / about["study"]) if found.name == stage]
        assert asked.notebook == path.stem
        assert f"section `{asked.section.partition('.')[0]}`" in text
        assert f"`python -m regen_lib.study repro {stage.replace('-', '@', 1)}`" in text


@pytest.mark.parametrize(
    "path", [path for path in NOTEBOOKS if path.name[:2] in ("01", "02", "03", "05", "06", "08", "09")], ids=lambda path: path.stem
)
def test_what_was_found_is_written_from_the_tables(path: Path) -> None:
    """A line of the notebook's own, not typed: its numbers are those of whatever study runs it."""
    if path.stem != "06b_examples":  # pictures
        assert any("**Found:**" in cell.source and "{" in cell.source for cell in code(nbformat.read(path, 4)))


@pytest.mark.parametrize("path", recorded.notebooks(), ids=lambda path: path.stem)
def test_what_marked_cells_print_is_recorded(path: Path) -> None:
    """On one way to round sums at least all that is marked, four numbers or more: `make record` after a marked cell has changed."""
    marked = [(cell.id, cell.source) for cell in recorded.marked(recorded.closed(path))]
    families = [folder for folder in recorded.RECORDED.iterdir() if (folder / path.name).is_file()]
    kept = {family: nbformat.read(family / path.name, 4).cells for family in families}
    whole = [family for family in families if [(cell.id, cell.source) for cell in kept[family]] == marked]
    assert whole, "run `make record`"
    for family in families:
        assert all(cell.outputs and cell.execution_count for cell in kept[family])
        copied = {cell.id: cell for cell in recorded.copy(path, family).cells}
        assert all(copied[cell.id].outputs == cell.outputs for cell in kept[family] if (cell.id, cell.source) in marked)
        compared = recorded.marked(recorded.copy(path, family))
        assert [(cell.id, cell.source) for cell in compared] == [key for key in marked if key in [(c.id, c.source) for c in kept[family]]]
    text = "".join(str(output.get("text") or output.data["text/plain"]) for cell in kept[whole[0]] for output in cell.outputs)
    assert len(re.findall(r"\d+(?:\.\d+)?", text)) >= 4


def test_nothing_is_compared_where_nothing_was_recorded() -> None:
    for path in recorded.notebooks():
        copied = recorded.copy(path, None)
        assert not recorded.marked(copied)
        assert not any(cell.outputs or cell.execution_count for cell in code(copied))


@pytest.mark.parametrize("stage", stages(smoke()), ids=lambda stage: stage.name)
def test_defaults_are_the_smoke_profile(stage: Stage) -> None:
    params = load_params(smoke() / "params.yaml")
    defaults = notebook_parameters(REPOSITORY / "notebooks" / f"{stage.notebook}.ipynb")
    for name, value in stage.values({**params, "study": {**params["study"], "source": str(REPOSITORY)}}).items():
        if name in OWN or (stage.name.startswith("rivals-") and stage.name != f"rivals-{defaults['defense']}"):
            assert name in defaults
        elif isinstance(value, dict) and name in ("banks", "variants", "strengths", "choices"):
            shared = set(value) & set(defaults[name])
            assert shared, f"{stage.name}: no row of {name} is in the notebook's defaults"
            filled = ROW if name == "banks" else {}
            assert {key: value[key] for key in shared if name != "strengths"} == {
                key: {**filled, **defaults[name][key]} for key in shared if name != "strengths"
            }
        elif name not in ("options", "recipe") or stage.name.endswith("-vgg16"):
            assert defaults[name] == value, f"{stage.name}: {name}"


@pytest.mark.parametrize("stage", stages(), ids=lambda stage: stage.name)
def test_a_stage_gives_its_notebook_every_parameter(stage: Stage) -> None:
    params = load_params(REPOSITORY / "params.yaml")
    assert stage.values({**params, "study": {**params["study"], "source": str(REPOSITORY)}})


def test_the_guide_shows_the_file_as_it_is() -> None:
    """The diff in docs/extending.md is the committed file, line by line."""
    assert shown("regen_lib/defenses/jpeg.py") == (REPOSITORY / "regen_lib/defenses/jpeg.py").read_text()
    row = GUIDE.read_text().split("rivals:\n+")[1].splitlines()[0]
    assert row in (REPOSITORY / "params.yaml").read_text()
