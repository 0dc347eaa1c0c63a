"""dvc.yaml as the tests read it: each stage's notebook, parameters and dependencies, matrix stages one by one."""

import re
import shlex
from dataclasses import dataclass
from typing import Any

import yaml

from regen_lib.study.params import lookup
from tests.repository import REPOSITORY


@dataclass(frozen=True)
class Stage:
    """One stage of dvc.yaml for one item of its matrix."""

    name: str
    command: str
    deps: tuple[str, ...]
    params: tuple[str, ...]
    network: str | None
    rival: str | None = None

    @property
    def words(self) -> list[str]:
        return shlex.split(self.command)

    @property
    def notebook(self) -> str | None:
        return self.words[self.words.index("run") + 1] if "run" in self.words else None

    @property
    def section(self) -> str:
        return self.words[self.words.index("--section") + 1]

    @property
    def settings(self) -> dict[str, str]:
        values = [self.words[i + 1] for i, word in enumerate(self.words) if word == "--set"]
        return dict(value.split("=", 1) for value in values)

    def parameters(self, params: dict[str, Any]) -> dict[str, Any]:
        """What the stage would hand its notebook, less study's networks and root."""
        given = {"seed": params["study"]["seed"], "threads": params["study"]["threads"], **lookup(params, self.section)}
        for key, value in self.settings.items():
            given[key] = lookup(params, value[1:]) if value.startswith("@") else yaml.safe_load(value)
        return given


def stages(profile: str = "laptop") -> list[Stage]:
    """Every stage that DVC would run."""
    params = yaml.safe_load((REPOSITORY / f"profiles/{profile}.yaml").read_text())
    found = []
    for name, stage in yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"].items():
        matrix, each = stage.get("matrix", {}), stage.get("foreach")
        rows = lookup(params, (each or matrix["network"]).strip("${}")) if each or matrix else [None]
        body = stage["do"] if each else stage
        for item in rows:
            known = {**params, "key": item, "item": rows[item] if each else {"network": item}}
            deps, used = (tuple(fill(text, known) for text in body.get(key, [])) for key in ("deps", "params"))
            title = name if item is None else f"{name}@{item}"
            found.append(Stage(title, fill(body["cmd"], known), deps, used, None if each else item, item if each else None))
    return found


def fill(text: str, known: dict[str, Any]) -> str:
    """``text`` with DVC's ``${...}`` resolved."""
    return re.sub(r"\$\{(.*?)\}", lambda m: str(lookup(known, m[1])), text)
