"""Parameters written out: defaults filled in, so that a stage is given whole rows.

A group of banks (``uaps``, ``unseen.sga``, ``secondary.fig6`` ...) says once what its rows share, a row what differs; above both stand
``bank_defaults``. A bank's size is a threat of ``threats``, ``times`` its xi, or a ``xi`` of its own. What is no key of a bank is an
option of its attack.
"""

from collections.abc import Mapping
from typing import Any, Literal

from regen_lib.core.errors import StudyError
from regen_lib.core.options import described, fits
from regen_lib.study.rows import BANK_KEYS, XI, Amount

GROUPS = ("uaps", "strengths", "secondary.white_box", "secondary.fig6")  # sections that are groups of banks, beside those of ``unseen``
ROWS: dict[str, dict[str, Any]] = {
    "rivals": {"options": {}, "training": {}, "recipe": None},
    "networks": {"options": {}, "conv1_scale": 1.0},
}


class Filling:
    """Raw parameters being written out. ``origins`` remembers where in the file each value of a bank's row was given."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.params, self.origins = dict(raw), dict[str, str]()
        self.threats = mapping(self.params.pop("threats", {}), "threats")
        self.defaults = mapping(self.params.pop("bank_defaults", {}), "bank_defaults")

    def filled_in(self) -> dict[str, Any]:
        """The parameters with every row of a bank whole: attack, norm, xi, target, count, split, start, images, options."""
        params = self.params
        for name, row in self.threats.items():
            check_threat(name, row)
        for name in GROUPS:
            section, _, key = name.partition(".")
            if not key and section in params:
                params[section] = self.group(params[section], name)
            elif key and isinstance(params.get(section), dict) and key in params[section]:
                params[section] = {**params[section], key: self.group(params[section][key], name)}
        for name, whole in ROWS.items():
            if isinstance(params.get(name), dict):
                params[name] = {key: {**whole, **value} if isinstance(value, dict) else value for key, value in params[name].items()}
        if isinstance(params.get("unseen"), dict):
            params["unseen"] = {key: self.group(value, f"unseen.{key}", attack=key) for key, value in params["unseen"].items()}
        if isinstance(secondary := params.get("secondary"), dict) and isinstance(training := secondary.get("training"), dict):
            attacks = self.rows(training.get("attacks", {}), "secondary.training.attacks", {}, "")
            params["secondary"] = {**secondary, "training": {**training, "attacks": attacks}}
        return params

    def group(self, given: Any, name: str, **implied: Any) -> dict[str, Any]:
        """A group of banks, its rows filled in; one without ``banks`` is one bank, named like the group."""
        group = mapping(given, name)
        shared = implied | {key: value for key, value in group.items() if key not in ("banks", "network")}
        kept = {"network": group["network"]} if "network" in group else {}
        if "banks" not in group:
            self.origins[f"{name}.banks.{name.rpartition('.')[2]}"] = name
        return {**kept, "banks": self.rows(group.get("banks", {name.rpartition(".")[2]: {}}), f"{name}.banks", shared, name)}

    def rows(self, given: Any, name: str, shared: Mapping[str, Any], sharer: str) -> dict[str, Any]:
        """The rows of a group, each with what they share."""
        whole = {}
        for bank, row in mapping(given, name).items():
            own = mapping({} if row is None else row, f"{name}.{bank}")
            whole[bank] = self.whole(f"{name}.{bank}", {"bank_defaults": self.defaults, sharer: shared, f"{name}.{bank}": own})
        return whole

    def whole(self, name: str, layers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """One bank's row, a later of the ``layers`` above an earlier: norm and xi from its threat, and the attack's options apart."""
        row = {key: value for layer in layers.values() for key, value in layer.items()}
        where = {key: f"{place}.{key}" for place, layer in layers.items() for key in layer}
        norm, xi = self.threat(row.pop("threat", None), where.get("threat", f"{name}.threat"))
        if not fits(times := row.pop("times", 1), Amount):
            raise StudyError(f"{where['times']}: give {described(Amount)} (found {short(times)})")
        xi = row.pop("xi", int(xi * times) if xi * times == int(xi * times) else xi * times)
        options = {key: row.pop(key) for key in list(row) if key not in BANK_KEYS}
        self.origins |= {f"{name}.{'options.' if key in options else ''}{key}": place for key, place in where.items()}
        given = {key: value for key, value in options.items() if value is not None}  # null: the attack's own default
        return {"norm": norm, "xi": xi, **row, "options": given}

    def threat(self, threat: Any, where: str) -> tuple[Any, Any]:
        """Norm and xi of a threat by name."""
        if not isinstance(threat, str) or threat not in self.threats:
            known = ", ".join(map(str, self.threats)) or "threats, which is empty"
            raise StudyError(f"{where} is {short(threat)}: choose one of {known}")
        return self.threats[threat]["norm"], self.threats[threat]["xi"]


def check_threat(name: str, row: Any) -> None:
    """Refuse a threat that is not a norm and a xi, finite and above 0."""
    found = mapping(row, f"threats.{name}")
    for key in sorted({*map(str, found)} ^ {"norm", "xi"}):
        raise StudyError(f"threats.{name}.{key} is unknown or missing: give norm and xi, and nothing else")
    if found["norm"] != "inf" and not fits(found["norm"], Literal[2]):
        raise StudyError(f"threats.{name}.norm: give inf or 2 (found {short(found['norm'])})")
    if not fits(found["xi"], kind := XI[found["norm"]]):
        raise StudyError(f"threats.{name}.xi: give {described(kind)} (found {short(found['xi'])})")


def mapping(given: Any, name: str) -> dict[str, Any]:
    """``given``, if it is keys with values; :class:`StudyError` for anything else."""
    if not isinstance(given, dict):
        raise StudyError(f"{name} is {short(given)}: expected keys with values")
    return given


def short(value: object) -> str:
    """A value as an error message can carry it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
