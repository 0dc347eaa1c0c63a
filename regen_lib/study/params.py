"""params.yaml, read, written out and checked: defaults are filled in, so that a stage is given whole rows.

A group of banks (``uaps``, ``unseen.sga``, ``secondary.fig6`` ...) says once what its rows share, a row what differs; above both stand
``bank_defaults``. A bank's size is a threat of ``threats``, ``times`` its xi, or a ``xi`` of its own. What is no key of a bank is an
option of its attack. A profile says what differs from a study's parameters, and which rows it drops.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from regen_lib.core.errors import StudyError
from regen_lib.study.rows import BANK_KEYS
from regen_lib.study.schema import Params

GROUPS = ("uaps", "strengths", "secondary.white_box", "secondary.fig6")  # sections that are groups of banks, beside those of ``unseen``


def load_params(path: Path) -> dict[str, Any]:
    """Read, fill in and check a parameter file. :class:`StudyError` names every wrong key, its value and what is allowed."""
    if not path.is_file():
        raise StudyError(f"{path} is missing: run in the study's folder")
    raw = read_yaml(path)
    try:
        params = filled_in(raw)
        Params.model_validate(params)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']} (found {short(e['input'])})" for e in error.errors()]
        raise StudyError(f"{path} has {len(lines)} mistakes:\n" + "\n".join(lines)) from error
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from error
    return params


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping; :class:`StudyError` for anything else, and for a key given twice."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=UniqueKeys)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise StudyError(f"{path} is no YAML: {error}") from error
    if not isinstance(content, dict):
        raise StudyError(f"{path} holds a {type(content).__name__}: expected sections with keys")
    return content


class UniqueKeys(yaml.SafeLoader):
    """YAML's plain types only, and every key once: YAML itself would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.value != "<<"]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise yaml.constructor.ConstructorError(None, None, f"{', '.join(sorted(twice))} given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def filled_in(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with every row of a bank whole: attack, norm, xi, target, count, split, start, images, options."""
    params = dict(raw)
    threats, defaults = params.pop("threats", {}), params.pop("bank_defaults", {})
    for name in GROUPS:
        section, _, key = name.partition(".")
        if key and isinstance(params.get(section), dict) and key in params[section]:
            params[section] = {**params[section], key: group(params[section][key], name, threats, defaults)}
        elif not key and section in params:
            params[section] = group(params[section], name, threats, defaults)
    for name, row in (("rivals", {"options": {}, "training": {}, "recipe": None}), ("networks", {"options": {}, "conv1_scale": 1.0})):
        if isinstance(params.get(name), dict):
            params[name] = {key: {**row, **value} if isinstance(value, dict) else value for key, value in params[name].items()}
    if isinstance(params.get("unseen"), dict):
        params["unseen"] = {k: group(v, f"unseen.{k}", threats, {"attack": k, **defaults}) for k, v in params["unseen"].items()}
    if isinstance(secondary := params.get("secondary"), dict) and isinstance(training := secondary.get("training"), dict):
        attacks = group({"banks": training.get("attacks", {})}, "secondary.training.attacks", threats, defaults)["banks"]
        params["secondary"] = {**secondary, "training": {**training, "attacks": attacks}}
    return params


def group(given: Any, name: str, threats: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A group of banks, its rows filled in; one without ``banks`` is one bank, named like the group."""
    if not isinstance(given, dict):
        raise StudyError(f"{name} is {short(given)}: expected a group of banks")
    shared = {key: value for key, value in given.items() if key not in ("banks", "network")}
    rows = given.get("banks", {name.rpartition(".")[2]: {}})
    if not isinstance(rows, dict):
        raise StudyError(f"{name}.banks is {short(rows)}: expected a row for each bank")
    kept = {"network": given["network"]} if "network" in given else {}
    banks = {str(bank): whole({**defaults, **shared, **(row or {})}, f"{name}.banks.{bank}", threats) for bank, row in rows.items()}
    return {**kept, "banks": banks}


def whole(row: dict[str, Any], name: str, threats: Mapping[str, Any]) -> dict[str, Any]:
    """One bank's row with norm and xi from its threat, and the attack's options apart."""
    threat = row.pop("threat", None)
    if threat not in threats:
        raise StudyError(f"{name}.threat is {threat!r}: choose one of {', '.join(map(str, threats)) or 'threats, which is empty'}")
    norm, xi = threats[threat]["norm"], threats[threat]["xi"] * row.pop("times", 1)
    xi = row.pop("xi", int(xi) if xi == int(xi) else xi)
    options = {key: row.pop(key) for key in list(row) if key not in BANK_KEYS}
    given = {key: value for key, value in options.items() if value is not None}  # null: the attack's own default
    return {"norm": norm, "xi": xi, **row, "options": given}


def with_profile(base: Mapping[str, Any], profile: Mapping[str, Any]) -> dict[str, Any]:
    """A study's raw parameters with what a profile changes: mappings key by key, all else replaced; ``drop`` lists rows to leave out."""
    merged = merge(base, {key: value for key, value in profile.items() if key != "drop"})
    for dotted in profile.get("drop", []):
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


def short(value: object) -> str:
    """A value as an error message can carry it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def lookup(params: Mapping[str, Any], dotted: str) -> Any:
    """The value at ``a.b.c``; :class:`StudyError` where a part is missing."""
    value: Any = params
    for part in dotted.split("."):
        if not isinstance(value, dict) or part not in value:
            raise StudyError(f"params.yaml has no {dotted!r}: {part!r} is missing")
        value = value[part]
    return value
