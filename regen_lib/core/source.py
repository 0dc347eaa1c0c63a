"""What code is made of: a hash of each module that importing others can run, of its syntax tree without docstrings and comments."""

import ast
import hashlib
from functools import cache
from pathlib import Path

from regen_lib.core.errors import StudyError

PACKAGE = Path(__file__).parents[1]


def hashes(modules: set[str]) -> dict[str, str]:
    """A hash of each module of this package that importing ``modules`` can run, directly or through others."""
    seen: dict[str, str] = {}
    todo = sorted(modules)
    while todo:
        for file in files(todo.pop()):
            if (name := str(file.relative_to(PACKAGE.parent))) not in seen:
                seen[name], needs = read(file)
                todo += needs
    return seen


@cache
def read(file: Path) -> tuple[str, tuple[str, ...]]:
    """The hash of a module's code, with the data that lie beside it under its name (paper.csv), and what it imports."""
    tree = parsed(file)
    needs = tuple(sorted(imports(tree)))
    beside = sorted(path for path in file.parent.glob(f"{file.stem}.*") if path.suffix != ".py" and path.is_file())
    return digest("\n".join([plain(tree), *(path.read_text(encoding="utf-8") for path in beside)])), needs


def parsed(file: Path) -> ast.Module:
    """A module's syntax tree; :class:`StudyError` where it has none."""
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:  # the second: no UTF-8
        raise StudyError(f"{file} is no Python in UTF-8 ({error}): mend it, or take git's") from error


@cache
def files(module: str) -> tuple[Path, ...]:
    """The files that importing ``module`` runs: the module's own and the packages' above it; none for another package's.

    The package's own ``__init__`` is left out: it only knows where the public names are.
    """
    parts = module.split(".")
    if parts[0] != PACKAGE.name:
        return ()
    found = []
    for end in range(2, len(parts) + 1):
        base = PACKAGE.parent.joinpath(*parts[:end])
        found += [path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()]
    return tuple(found)


def imports(tree: ast.AST) -> set[str]:
    """Names of the modules that code imports, at once or inside a function; imports for type checkers alone do not count."""
    if isinstance(tree, ast.If) and "TYPE_CHECKING" in ast.unparse(tree.test):
        return set()
    if isinstance(tree, ast.Import):
        return {alias.name for alias in tree.names}
    if isinstance(tree, ast.ImportFrom) and tree.module:
        return {tree.module, *(f"{tree.module}.{alias.name}" for alias in tree.names)}
    return set().union(*(imports(child) for child in ast.iter_child_nodes(tree)))


def plain(tree: ast.AST) -> str:
    """Code as text without docstrings, comments and layout."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def digest(text: str) -> str:
    """The first half of a SHA-256: enough to tell versions of one file apart, and short enough to compare by eye."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
