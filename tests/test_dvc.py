"""What DVC shows of a study: plots with every series, and the graph of stages on a screen."""

import json
from pathlib import Path
from typing import Any

import networkx as nx
import pandas as pd
import pytest
import yaml

from regen_lib.study import dag
from regen_lib.study.folder import CONFIG
from tests.pipeline import smoke
from tests.repository import REPOSITORY

PLOTS = {
    name: plot
    for each in yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["plots"]
    if isinstance(each, dict)
    for name, plot in each.items()
}
STAGES = """
stages:
  first:
    matrix: {network: [a, b]}
    cmd: "true"
    outs: ["one/${item.network}"]
  second:
    foreach: {x: 1, y: 2, z: 3}
    do: {cmd: "true", deps: [one], outs: ["two/${key}"]}
  third: {cmd: "true", deps: [one, two], outs: [three]}
"""


def drawn(name: str) -> tuple[str, pd.DataFrame]:
    """A plot's template with its fields in place, and its table."""
    axes = {axis: PLOTS[name][axis] for axis in ("x", "y")}
    fields = {axis: next(iter(value.values())) if isinstance(value, dict) else value for axis, value in axes.items()}
    text = (REPOSITORY / f".dvc/plots/{PLOTS[name]['template']}.json").read_text()
    for axis, field in fields.items():
        text = text.replace(f"<DVC_METRIC_{axis.upper()}>", field)
    path = next(iter(next(value for value in axes.values() if isinstance(value, dict))))
    return text, pd.read_csv(REPOSITORY / path)


def encodings(spec: Any) -> list[dict[str, Any]]:
    """Every mapping of a template that names a field."""
    children = spec.values() if isinstance(spec, dict) else spec if isinstance(spec, list) else []
    return ([spec] if isinstance(spec, dict) and "field" in spec else []) + [found for child in children for found in encodings(child)]


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_draws_columns_that_are_there_as_what_they_are(name: str) -> None:
    """A text on an axis of numbers is an empty plot."""
    text, table = drawn(name)
    made = {"rev": "nominal"} | {step["as"]: "quantitative" for step in json.loads(text).get("transform", []) if "as" in step}
    for found in encodings(json.loads(text)):
        if found["field"] not in made and "type" in found:
            numbers = pd.api.types.is_numeric_dtype(table[found["field"]])
            assert numbers == (found["type"] == "quantitative"), found


@pytest.mark.parametrize(
    ("name", "series", "rows"), [("masking", ["network", "order"], "depth == 1"), ("attacker", ["defense"], "passes > 0")]
)
def test_a_curve_is_one_series(name: str, series: list[str], rows: str) -> None:
    """In each panel and color one point at each x: otherwise one line would join several curves."""
    text, table = drawn(name)
    assert {found["field"] for found in encodings(json.loads(text)) if found.get("type") == "nominal"} == {*series, "rev"}
    assert not table.query(rows).duplicated([*series, PLOTS[name]["x"]]).any()


def test_a_folder_of_its_own_has_the_templates() -> None:
    there = {path.name: path.read_bytes() for path in (REPOSITORY / ".dvc/plots").iterdir()}
    assert {path.name: path.read_bytes() for path in (smoke() / ".dvc/plots").iterdir()} == there
    assert {f"{plot['template']}.json" for plot in PLOTS.values()} == set(there)


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nx.DiGraph:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(CONFIG)
    (tmp_path / "dvc.yaml").write_text(STAGES)
    monkeypatch.chdir(tmp_path)
    return dag.stages()


def test_the_graph_has_a_line_for_each_kind_of_stage(graph: nx.DiGraph) -> None:
    assert dag.listed(graph) == "first (2)\nsecond (3)  first\nthird       second"


def test_the_graph_as_mermaid(graph: nx.DiGraph) -> None:
    nodes = ['  first["first (2)"]', '  second["second (3)"]', '  third["third"]']
    assert dag.mermaid(graph).splitlines() == ["flowchart TD", *nodes, "  first --> second", "  second --> third"]


def test_the_study_fits_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    lines = dag.listed(dag.stages()).splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 120
    assert len(json.loads((REPOSITORY / "metrics/summary.json").read_text())) <= 8
