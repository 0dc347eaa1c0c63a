"""The house: the library imports neither the study nor its packages, and nothing imports in a circle."""

import ast
import graphlib
from pathlib import Path

import pytest

from tests.repository import REPOSITORY

PACKAGE = REPOSITORY / "regen_lib"
HARNESS = ("papermill", "pydantic", "dvc", "nbformat", "nbclient", "yaml", "matplotlib", "seaborn", "jupyter")
HARNESS += ("jupyter_client", "ipykernel", "ipywidgets", "networkx", "psutil")


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """Every module that a file imports, at once or inside a function; types alone do not count."""
    found = set()
    tree = ast.parse(path.read_text())
    typing = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


FILES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
LIBRARY = {name: path for name, path in FILES.items() if not name.startswith("regen_lib.study")}


@pytest.mark.parametrize("name", LIBRARY)
def test_the_library_imports_neither_the_study_nor_its_packages(name: str) -> None:
    for other in imported(LIBRARY[name]):
        assert not other.startswith("regen_lib.study"), other
        assert other.split(".")[0] not in HARNESS, other


def test_nothing_imports_in_a_circle() -> None:
    """Between modules; a package's __init__ counts as imported by its modules only where it is named."""
    graph = {name: {other for other in imported(path) if other in FILES and other != name} for name, path in FILES.items()}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert set(order) == set(FILES)


def test_import_module_finds_files_by_name_alone() -> None:
    """Where a row of parameters names an attack, a defence, a network or a format, for the public names and for packages
    that may not be there; nowhere to hide a circle."""
    registries = {"regen_lib.attacks", "regen_lib.defenses", "regen_lib.networks", "regen_lib.weights"}
    registries |= {"regen_lib", "regen_lib.core.extras"}
    assert {name for name, path in FILES.items() if "import_module(" in path.read_text()} <= registries


@pytest.mark.parametrize("pattern", ["*.y*ml", "profiles/*.yaml", "studies/*/*.yaml", "benchmarks/*.yaml"])
def test_rows_of_yaml_are_no_longer_than_those_of_code(pattern: str) -> None:
    long = [f"{path.name}: {line}" for path in REPOSITORY.glob(pattern) for line in path.read_text().splitlines() if len(line) > 140]
    assert long == []
