"""What is found by name: every file of a folder whose own name begins with a letter."""

import os

PACKAGE = os.path.dirname(os.path.dirname(__file__))  # pathlib takes longer to import than `import regen_lib` may


def found_in(folder: str) -> tuple[str, ...]:
    """The names of the files in a folder of this package, sorted; those that begin with ``_`` are helpers."""
    files = os.listdir(os.path.join(PACKAGE, folder))
    return tuple(sorted(file.removesuffix(".py") for file in files if file.endswith(".py") and not file.startswith("_")))
