"""Other surroundings: variables, locales, kernels, streams, users. The same bytes, or a refusal at once."""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import yaml

from regen_lib.study.folder import prepare
from tests.faults import limits, work
from tests.faults.command import STUDY, environment, run
from tests.faults.fault import Fault, expect
from tests.repository import REPOSITORY

NOBODY = 54321  # a user whom no file of users names
HARMLESS: dict[str, dict[str, str | None]] = {
    "another time zone": {"TZ": "Pacific/Chatham"},
    "a narrow terminal": {"COLUMNS": "1", "LINES": "1", "TERM": "dumb"},
    "matplotlib's backend is none": {"MPLBACKEND": "none"},
    "matplotlib's folder is none": {"MPLCONFIGDIR": "/dev/null"},
    "warnings are shown": {"PYTHONWARNINGS": "always"},
    "unbuffered": {"PYTHONUNBUFFERED": "1"},
    "a proxy that is none": {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"},
    "HOME is a device": {"HOME": "/dev/null"},
    "no PATH": {"PATH": None},
    "a world of one left over": {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "nowhere", "MASTER_PORT": "1"},
}
TELLING: dict[str, dict[str, str | None]] = {
    "no HOME": {"HOME": None},
    "HOME is nowhere": {"HOME": "/nowhere"},
    "a bare locale": {"LC_ALL": "C", "LANG": None, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "a locale that is not there": {"LC_ALL": "xx_YY.UTF-8", "LANG": "xx_YY"},
    "hashes drawn at random": {"PYTHONHASHSEED": "123"},
    "asserts stripped": {"PYTHONOPTIMIZE": "2"},
    "TMPDIR is nowhere": {"TMPDIR": "/nowhere"},
    "eight threads": {"OMP_NUM_THREADS": "8"},
    "threads that are no number": {"OMP_NUM_THREADS": "many"},
    "another BLAS kernel": {"OPENBLAS_CORETYPE": "Prescott"},
    "a rank left over": {"RANK": "3", "LOCAL_RANK": "3"},
    "a world left over, no number": {"WORLD_SIZE": "many"},
    "no rank in a world of two": {"WORLD_SIZE": "2", "RANK": None, "MASTER_ADDR": None},
    "a GPU that is not there": {"CUDA_VISIBLE_DEVICES": "7"},
    "development mode": {"PYTHONDEVMODE": "1"},
    "Triton without its interpreter": {"TRITON_INTERPRET": None},
}
VARIABLES = {**HARMLESS, **TELLING}  # in the latter the work itself is tried, too


def unnamed() -> None:
    """A user without a name, as in a container; root only."""
    if os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def working(variables: dict[str, str | None], project: Path) -> None:
    """The work, in an interpreter that starts in these surroundings."""
    right = limits.undisturbed()
    said = run([sys.executable, "-m", "tests.faults.work"], env=environment(**variables))
    expect(said.split()[-1] == right, "another result")


def small_study(project: Path) -> None:
    """A project with the smoke profile's parameters: all of them are right."""
    prepare(project, REPOSITORY / "params.yaml", REPOSITORY / "profiles/smoke.yaml", raw=False)


def study(project: Path) -> None:
    """The same on a few photographs, which is enough for the stage of the images and too little for the others."""
    small_study(project)
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    options = {"trees": work.TREES, "counts": work.COUNTS}
    params["images"] = {"source": "image_folder", "raw": "data/raw", "validation": 2, "options": options}
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    work.photographs(Path("data/raw"))


def checking(variables: dict[str, str | None], before: Callable[[], object] | None, project: Path) -> None:
    """The check of the parameters, in these surroundings."""
    small_study(project)
    run([*STUDY, "check"], env=environment(**variables), before=before)


def staging(variables: dict[str, str | None], before: Callable[[], object] | None, folder: str, project: Path) -> None:
    """A whole stage in these surroundings: a notebook, a kernel, an artifact with the same bytes."""
    home = project / folder
    home.mkdir(exist_ok=True)
    os.chdir(home)
    study(home)
    words = [*STUDY, "run", "00a_images", "--as", "images", "--section", "images"]
    run(words, env=environment(**variables), before=before, cwd=home)
    work.decoded(Path("data/raw"), Path("again"))
    expect(Path("data/images.safetensors").read_bytes() == Path("again/data/images.safetensors").read_bytes(), "other bytes")


def kernelspec(project: Path) -> None:
    """Another ``python3`` kernel that is found first, and is none."""
    folder = project / "jupyter/kernels/python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text('{"argv": ["/bin/false", "{connection_file}"], "display_name": "x", "language": "python"}')
    staging({"JUPYTER_PATH": str(project / "jupyter")}, None, "study", project)


def full_stdout() -> None:
    """Nothing that is printed has room."""
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def closed_streams() -> None:
    """Neither input nor output."""
    for stream in (0, 1):
        os.close(stream)


STREAMS: dict[str, Callable[[], object]] = {
    "printing has no room": full_stdout,
    "no input, no output": closed_streams,
}
UNNAMED = "an unnamed user"
STAGED = ("no HOME", "a bare locale", "a rank left over", "matplotlib's folder is none", "TMPDIR is nowhere", "another time zone")
FOLDERS = {
    "a space in the path": "my study",
    "an accent in the path": "\u00e9tude",
    "a quote in the path": "it's",
    "a bracket in the path": "a[b]",
}


def faults(rng: Random) -> Iterator[Fault]:
    """The work, the check and a stage in every surroundings."""
    for name, variables in VARIABLES.items():
        yield Fault("environments", f"check: {name}", partial(checking, variables, None), cost=1.0, bound=120)
    for name, variables in TELLING.items():
        yield Fault("environments", f"work: {name}", partial(working, variables), cost=4.0, bound=120)
    for name, before in STREAMS.items():
        yield Fault("environments", f"check: {name}", partial(checking, {}, before), cost=1.0, bound=120)
    ways = (REPOSITORY, *REPOSITORY.parents, *Path(sys.executable).resolve().parents)
    if closed := next((path for path in ways if not path.stat().st_mode & stat.S_IXOTH), None):
        print(f"environments: {UNNAMED} is left out, {closed} is closed to all others: try it with a checkout and a Python open to them")
    else:
        yield Fault("environments", f"check: {UNNAMED}", partial(checking, {}, unnamed), cost=1.0, bound=120)
    for name in STAGED:
        yield Fault("environments", f"stage: {name}", partial(staging, VARIABLES[name], None, "study"), cost=8.0, bound=180)
    for name, folder in FOLDERS.items():
        yield Fault("environments", f"stage: {name}", partial(staging, {}, None, folder), cost=8.0, bound=180)
    yield Fault("environments", "stage: another kernel of that name", kernelspec, cost=8.0, bound=180)
