"""dvc.yaml as DVC resolves it: each stage with its notebook and parameters, of the default study and of the smoke profile."""

import shlex
import tempfile
from functools import cache
from pathlib import Path

from dvc.repo import Repo

from regen_lib.study.folder import prepare
from regen_lib.study.stage import Stage, parsed
from tests.repository import REPOSITORY


@cache
def smoke() -> Path:
    """A folder with the smoke profile."""
    folder = Path(tempfile.mkdtemp(prefix="smoke-"))
    prepare(folder, REPOSITORY / "params.yaml", REPOSITORY / "profiles/smoke.yaml", raw=False)
    return folder


@cache
def dependencies(folder: Path = REPOSITORY) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Every stage's command and what it depends on, as DVC sees them."""
    stages = [stage for stage in Repo(str(folder)).index.stages if Path(stage.path) == folder / "dvc.yaml"]
    return {stage.name: (stage.cmd, tuple(dep.def_path for dep in stage.deps)) for stage in stages}


def stages(folder: Path = REPOSITORY) -> list[Stage]:
    """The stages that run a notebook."""
    found = [parsed(shlex.split(command)) for command, _ in dependencies(folder).values()]
    return [stage for stage in found if stage]
