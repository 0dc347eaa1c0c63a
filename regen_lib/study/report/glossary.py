"""What the attacks and defences are, and whose: from the first lines of their files."""

import ast
from pathlib import Path

from regen_lib.core.registry import PACKAGE, found_in
from regen_lib.study.report.names import ATTACK_TITLES, DEFENSE_TITLES

KINDS = {"attacks": ATTACK_TITLES, "defenses": DEFENSE_TITLES}


def block(kind: str) -> str:
    """A row for every file of ``regen_lib/attacks`` or ``regen_lib/defenses``: its title in tables and figures, and its first line."""
    lines = ["| name | what it is |", "|---|---|"]
    for name in found_in(kind):
        path = Path(PACKAGE, kind, f"{name}.py")
        first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0]
        title = KINDS[kind][name].removesuffix(" (untrained)")
        lines.append(f"| [{title}](../regen_lib/{kind}/{path.name}) | {first} |")
    return "\n".join(lines)
