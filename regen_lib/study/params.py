"""params.yaml, read, written out (:mod:`regen_lib.study.filling`) and checked: every mistake is named before anything runs.

Three checks follow each other, each where the one before found nothing: keys, types and ranges (:mod:`regen_lib.study.schema`), names
(:mod:`regen_lib.study.references`), and what the library says of networks, options and images (:mod:`regen_lib.study.possible`).
The last needs torch: it is for ``check``, ``folder`` and the stage ``code``, which runs before all others where params.yaml changed; the
others ask for the first two.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from regen_lib.core.errors import StudyError
from regen_lib.core.options import Mistake
from regen_lib.study import references
from regen_lib.study.filling import Filling, short
from regen_lib.study.reading import read_yaml
from regen_lib.study.schema import Params

LONGEST = 120  # letters of a key that is shown
SAID = {  # pydantic's errors in our words, filled with what it knows of each
    "missing": "is missing: give it a value",
    "extra_forbidden": "no such key here: correct its name, or remove it",
    "invalid_key": "give a text as key",
    "string_pattern_mismatch": "a name has up to 64 letters, digits, _ and -: rename it",
    "int_type": "give a whole number",
    "float_type": "give a number",
    "finite_number": "give a number that is finite",
    "bool_type": "give true or false",
    "string_type": "give a text",
    "string_too_short": "give a text that is not empty",
    "literal_error": "give {expected}",
    "list_type": "give a list",
    "dict_type": "give keys with values",
    "model_type": "give keys with values",
    "greater_than": "give more than {gt}",
    "greater_than_equal": "give {ge} or more",
    "less_than": "give less than {lt}",
    "less_than_equal": "give {le} or less",
    "too_short": "give at least {min_length}",
    "too_long": "give at most {max_length}",
}


def load_params(path: Path, *, deep: bool = False) -> dict[str, Any]:
    """Read, fill in and check a parameter file; ``deep``: down to what the library says of it.

    The check is strict, nothing is converted: the values are those that were checked. :class:`StudyError` names every mistake once,
    with its key, its value and what is allowed.
    """
    if not path.is_file():
        raise StudyError(f"{path} is missing: run in the study's folder")
    return checked(read_yaml(path), path.parent, str(path), deep=deep)


def checked(raw: Mapping[str, Any], folder: Path, name: str, *, deep: bool) -> dict[str, Any]:
    """The ``raw`` parameters of a study in ``folder``, filled in; :class:`StudyError` with their ``name`` and every mistake in them."""
    try:
        filling = Filling(raw)
        params = filling.filled_in()
    except StudyError as error:
        raise StudyError(f"{name}: {error}") from error
    for found in checks(params, folder, deep=deep):
        if lines := said(found, filling.origins):
            count = f"{len(lines)} mistakes" if len(lines) > 1 else "a mistake"
            raise StudyError(f"{name} has {count}:\n" + "\n".join(lines))
    return params


def checks(params: Mapping[str, Any], folder: Path, *, deep: bool) -> Iterator[Iterable[Mistake]]:
    """What each check finds; the next may only be asked where there is nothing."""
    yield of_schema(params)
    yield references.mistakes(params)
    if deep:
        from regen_lib.study import possible

        yield possible.mistakes(params, folder)


def of_schema(params: Mapping[str, Any]) -> Iterator[Mistake]:
    """Wrong keys, types and ranges."""
    try:
        Params.model_validate(params)
    except ValidationError as error:
        for each in error.errors(include_url=False):
            parts = [str(part) for part in each["loc"] if part != "[key]" and not str(part).startswith("<")]
            known = SAID.get(each["type"])
            why = known.format_map(each.get("ctx", {})) if known else each["msg"].removeprefix("Value error, ")
            yield Mistake(".".join(parts) or "file", ... if each["type"] == "missing" else each["input"], why)


def said(found: Iterable[Mistake], origins: Mapping[str, str]) -> list[str]:
    """A line for each mistake, under the key that the file has: a value that several rows share is one mistake."""
    lines: dict[str, str] = {}
    for key, value, why in found:
        place = origin(key, origins)
        shown = "" if value is ... else f" (found {short(value)}{as_number(value)})"
        lines.setdefault(place, f"  {printable(place)}: {why}{shown}")
    return list(lines.values())


def printable(key: str) -> str:
    """A key in one line that a terminal takes for text, whatever the file calls it."""
    text = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in key[: LONGEST + 1])
    return text if len(key) <= LONGEST else f"{text[:LONGEST]}..."


def origin(key: str, origins: Mapping[str, str]) -> str:
    """Where the file gave what stands at ``key`` of the parameters written out."""
    above, rest = key, ""
    while above and above not in origins:
        above, _, last = above.rpartition(".")
        rest = f".{last}{rest}"
    return f"{origins[above]}{rest}" if above else key


def as_number(value: Any) -> str:
    """What to write instead of a text that looks like a number: to YAML, 1e-1 is text."""
    match = re.fullmatch(r"([-+]?\d[\d_]*(?:\.\d*)?|[-+]?\.\d+)(?:[eE]([-+]?\d+))?", value) if isinstance(value, str) else None
    if not match:
        return ""
    mantissa, exponent = match.groups()
    if exponent is None:
        return f", which is text: write {mantissa} without quotes"
    return f", which YAML takes for text: write {mantissa if '.' in mantissa else mantissa + '.0'}e{int(exponent):+d}"


def with_profile(base: Mapping[str, Any], profile: Mapping[str, Any]) -> dict[str, Any]:
    """A study's raw parameters with what a profile changes: mappings key by key, all else replaced; ``drop`` lists rows to leave out."""
    merged = merge(base, {key: value for key, value in profile.items() if key != "drop"})
    dropped = profile.get("drop", [])
    if not isinstance(dropped, list) or not all(isinstance(dotted, str) for dotted in dropped):
        raise StudyError(f"drop is {short(dropped)}: list the rows to leave out, as section.row")
    for dotted in dropped:
        above, _, last = dotted.rpartition(".")
        lookup(merged, dotted)
        del (lookup(merged, above) if above else merged)[last]
    return merged


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes``, mappings merged key by key."""
    merged = {key: merge(value, {}) if isinstance(value, dict) else value for key, value in base.items()}
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def lookup(params: Mapping[str, Any], dotted: str) -> Any:
    """The value at ``a.b.c``; :class:`StudyError` where a part is missing."""
    value: Any = params
    for part in dotted.split("."):
        if not isinstance(value, dict) or part not in value:
            raise StudyError(f"params.yaml has no {short(dotted)}: {short(part)} is missing: correct the name, or write it there")
        value = value[part]
    return value
