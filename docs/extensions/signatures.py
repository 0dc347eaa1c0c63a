"""Signatures without the ranges of numbers: they make a line of each option, and the docstrings say what matters of them."""

from typing import Any, get_type_hints

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool]:
    """Strip annotations before autodoc reads them."""
    app.connect("autodoc-before-process-signature", strip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def strip(_app: Sphinx, function: Any, _bound: bool) -> None:
    """``Annotated[int, Ge(1)]`` becomes ``int``; what needs names that are for type checkers alone stays as it is."""
    try:
        function.__annotations__.update(get_type_hints(function))
    except (AttributeError, NameError, TypeError):
        return
