"""Packages that only some features need: imported where they are there, named with the command that brings them where they are not."""

from importlib import import_module
from types import ModuleType

from regen_lib.core.errors import StudyError


def need(module: str, *, what: str, package: str, extra: str) -> ModuleType:
    """The ``module`` of an optional ``package``, imported.

    :class:`StudyError` where it is not installed: it says ``what`` needs it, and which ``extra`` of pyproject.toml to install.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise StudyError(f"{what} needs {package}: pip install 'regen_lib[{extra}]' ({error})") from error
