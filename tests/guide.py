"""What docs/extending.md shows: the whole of a defence and of an attack."""

from tests.repository import REPOSITORY

GUIDE = REPOSITORY / "docs/extending.md"


def shown(path: str) -> str:
    """The text of the file that the guide adds at ``path``."""
    rows = GUIDE.read_text(encoding="utf-8").split(f"+++ b/{path}\n")[1].split("\n+++ ")[0]
    return "".join(f"{row.removeprefix('+')}\n" for row in rows.splitlines())
