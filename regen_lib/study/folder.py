"""A folder of its own for a study that runs with a profile's changes: results, cache and lock stay there.

What it replaces there must be its own: a folder that is a study already, the base's above all, is refused before anything is written.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from regen_lib.core.errors import StudyError
from regen_lib.study.params import checked, lookup, with_profile
from regen_lib.study.reading import read_yaml
from regen_lib.study.stage import replace

# a DVC root of its own, git or not: what runs there touches no other cache
CONFIG = '[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n[cache]\n    type = "hardlink,copy"\n'
OWN = "no_scm = true"  # what CONFIG still has after `dvc cache dir` or `dvc remote add` there, and no study in git has


def prepare(folder: Path, base: Path, profile: Path, *, raw: bool = True, seed: int | None = None) -> None:
    """Write ``folder/params.yaml``, what ``base`` says with the changes of ``profile``, and make it a DVC root with the study's dvc.yaml.
    ``raw`` copies the raw images that ``base`` has; ``seed`` replaces its own.

    :class:`regen_lib.core.errors.StudyError`, and nothing written, where the result is no set of parameters or ``folder`` is another study.
    """
    definition = os.path.relpath(base.parent.resolve() / "dvc.yaml", folder.resolve())
    check_target(folder, base, definition)
    params = changed(base, profile, seed)
    source = base.parent / str(params["study"]["source"])
    params["study"]["source"] = os.path.relpath(source.resolve(), folder.resolve())
    if not (folder / ".dvc/config").is_file():  # first: by it the folder is known again, if a kill comes between
        replace(folder / ".dvc/config", CONFIG)
    replace(folder / "params.yaml", dumped(params))
    if not (link := folder / "dvc.yaml").is_symlink():
        link.symlink_to(definition)
    replace(folder / ".dvcignore", "__pycache__/\n.ipynb_checkpoints/\n*.partial\n")
    copy(base.parent / ".dvc/plots", folder / ".dvc/plots")
    if raw and not (images := folder / params["images"]["raw"]).is_symlink():  # what is there need not be fetched again
        copy(base.parent / params["images"]["raw"], images)


def check_target(folder: Path, base: Path, definition: str) -> None:
    """:class:`StudyError` where :func:`prepare` would replace what it has not written."""
    remedy = "name a new folder, or one that this command made"
    if folder.resolve() == base.parent.resolve():
        raise StudyError(f"{folder} is the study itself, whose parameters would be lost: {remedy}")
    if foreign := not_written_here(folder, definition):
        raise StudyError(f"{folder / foreign} was not written by this command from {base}, and would be lost: {remedy}")


def not_written_here(folder: Path, definition: str) -> str | None:
    """A file that :func:`prepare` would replace and has not written; None where there is none."""
    config, link = folder / ".dvc/config", folder / "dvc.yaml"
    root = config.is_file() and OWN in config.read_text(encoding="utf-8", errors="replace").lower()
    written = {
        "params.yaml": root and generated(folder / "params.yaml"),
        "dvc.yaml": root and link.is_symlink() and os.readlink(link) == definition,
        ".dvc/config": root,
    }
    return next((name for name, ours in written.items() if not ours and os.path.lexists(folder / name)), None)


def generated(path: Path) -> bool:
    """Whether a program wrote this parameter file: one that a person wrote has remarks, or looks otherwise."""
    try:
        return path.read_text(encoding="utf-8") == dumped(read_yaml(path))
    except (OSError, ValueError):  # none at all, or no parameters
        return False


def dumped(params: Mapping[str, Any]) -> str:
    """Parameters as a file."""
    return yaml.safe_dump(dict(params), sort_keys=False)


def changed(base: Path, profile: Path, seed: int | None) -> dict[str, Any]:
    """The parameters of ``base`` with the changes of ``profile`` and another seed; :class:`StudyError` with every mistake in them."""
    for path, remedy in ((base, "run in the study's folder"), (profile, "name a YAML file of what differs")):
        if not path.is_file():
            raise StudyError(f"{path} is missing: {remedy}")
    params = with_profile(read_yaml(base), read_yaml(profile))
    lookup(params, "study.source")
    if seed is not None:
        params["study"]["seed"] = seed
    checked(params, base.parent, f"{base} with {profile}", deep=True)
    return params


def copy(source: Path, target: Path) -> None:
    """The files of a folder, where there is one, into another; :class:`StudyError` where that cannot be."""
    if source.is_dir():
        try:
            shutil.copytree(source, target, copy_function=copy_file, dirs_exist_ok=True)
        except OSError as error:
            why = error.args[0][0][-1] if isinstance(error, shutil.Error) else error  # of its list of (from, to, why) the first
            raise StudyError(f"{source} cannot be copied to {target} ({why}): see to room and rights there, and run it again") from error


def copy_file(source: str, target: str) -> None:
    """A file, unless the other name is a link to it."""
    if not (os.path.exists(target) and os.path.samefile(source, target)):
        shutil.copy2(source, target)
