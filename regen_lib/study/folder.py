"""A folder of its own for a study that runs with a profile's changes: results, cache and lock stay there."""

import os
import shutil
from pathlib import Path

import yaml

from regen_lib.study.params import load_params, lookup, with_profile
from regen_lib.study.reading import read_yaml
from regen_lib.study.stage import replace

# a DVC root of its own, git or not: what runs there touches no other cache
CONFIG = '[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n[cache]\n    type = "hardlink,copy"\n'


def prepare(folder: Path, base: Path, profile: Path, *, raw: bool = True, seed: int | None = None) -> None:
    """Write ``folder/params.yaml``, what ``base`` says with the changes of ``profile``, and make it a DVC root with the study's dvc.yaml.
    ``raw`` copies the raw images that ``base`` has; ``seed`` replaces its own.

    :class:`regen_lib.core.errors.StudyError` where the result is no set of parameters.
    """
    params = with_profile(read_yaml(base), read_yaml(profile))
    params["study"]["source"] = os.path.relpath(base.parent / str(lookup(params, "study.source")), folder)
    if seed is not None:
        params["study"]["seed"] = seed
    replace(folder / "params.yaml", yaml.safe_dump(params, sort_keys=False))
    load_params(folder / "params.yaml", deep=True)
    replace(folder / ".dvc/config", CONFIG)
    if (templates := base.parent / ".dvc/plots").is_dir():
        shutil.copytree(templates, folder / ".dvc/plots", dirs_exist_ok=True)
    replace(folder / ".dvcignore", "__pycache__/\n.ipynb_checkpoints/\n*.partial\n")
    if raw and (there := base.parent / params["images"]["raw"]).is_dir():  # what is there need not be fetched again
        shutil.copytree(there, folder / params["images"]["raw"], dirs_exist_ok=True)
    link = folder / "dvc.yaml"
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(base.parent / "dvc.yaml", folder))
