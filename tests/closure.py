"""The regen_lib files a notebook really uses: its imports, and theirs."""

import ast
import json
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent


def imported(source: str) -> set[str]:
    """Names of the modules that ``source`` may import, as written."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files(module: str) -> list[Path]:
    """The files that importing ``module`` runs: the module's own and the packages' above it."""
    parts = module.split(".")
    found = []
    for end in range(1, len(parts) + 1):
        base = REPOSITORY.joinpath(*parts[:end])
        found += [path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()]
    return found


def closure(source: str) -> set[str]:
    """Paths, relative to the repository, of every regen_lib file that running ``source`` imports at once."""
    seen: set[Path] = set()
    todo = [source]
    while todo:
        for module in imported(todo.pop()):
            for path in files(module) if module.split(".")[0] == "regen_lib" else []:
                if path not in seen:
                    seen.add(path)
                    todo.append(path.read_text())
    return {str(path.relative_to(REPOSITORY)) for path in seen}


def notebook_source(path: Path) -> str:
    """The code of a notebook."""
    cells = json.loads(path.read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
