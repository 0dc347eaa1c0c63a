"""What the attacks and defences are, and whose: from the first lines of their files."""

import ast
from pathlib import Path

from regen_lib.study.report.names import ATTACK_TITLES, DEFENSE_TITLES

KINDS = {"attacks": ATTACK_TITLES, "defenses": DEFENSE_TITLES}


def block(kind: str) -> str:
    """A row for every file of ``regen_lib/attacks`` or ``regen_lib/defenses``: its title in tables and figures, and its first line."""
    lines = ["| name | what it is |", "|---|---|"]
    for path in sorted((Path(__file__).parents[2] / kind).glob("[!_]*.py")):
        first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0]
        title = KINDS[kind][path.stem].removesuffix(" (untrained)")
        lines.append(f"| [{title}](../regen_lib/{kind}/{path.name}) | {first} |")
    return "\n".join(lines)
