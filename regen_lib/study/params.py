"""params.yaml, read and checked."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from regen_lib.core.errors import StudyError
from regen_lib.study.schema import Params, Part


def load_params(path: Path, *, whole: bool = True) -> dict[str, Any]:
    """Read and check a parameter file, or one with some of the sections (not ``whole``).

    :class:`StudyError` names every wrong key, its value and what is allowed.
    """
    if not path.is_file():
        raise StudyError(f"{path} is missing: run in the study's folder, or copy a file from profiles/ to params.yaml")
    try:
        raw = yaml.safe_load(path.read_text())
        (Params if whole else Part).model_validate(raw)
    except yaml.YAMLError as error:
        raise StudyError(f"{path} is no YAML: {error}") from error
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']} (found {short(e['input'])})" for e in error.errors()]
        raise StudyError(f"{path} has {len(lines)} mistakes, compare with profiles/laptop.yaml:\n" + "\n".join(lines)) from error
    return raw


def short(value: object) -> str:
    """A value as an error message can carry it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def lookup(params: dict[str, Any], dotted: str) -> Any:
    """The value at ``a.b.c``; :class:`StudyError` where a part is missing."""
    value: Any = params
    for part in dotted.split("."):
        if not isinstance(value, dict) or part not in value:
            raise StudyError(f"params.yaml has no {dotted!r}: {part!r} is missing")
        value = value[part]
    return value
