"""Names that are no names: of banks, variants, stages, trainings and networks, wherever one becomes a part of a path."""

import copy
import os
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import yaml

from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.perturbations import load_bank
from regen_lib.core.storage import weights_hash
from regen_lib.study.defended import load_defended
from regen_lib.study.files import bank_file, units_file
from regen_lib.training.loop import fit
from tests.faults.artifacts import RECIPE, images, lay, network
from tests.faults.command import called
from tests.faults.fault import Fault, expect
from tests.repository import REPOSITORY
from tests.suite import network_of

BAD = {
    "one folder up": "../x",
    "five folders up": "../../../../../x",
    "up in the middle": "a/../../../../../x",
    "a folder": "a/b",
    "absolute": "/tmp/regen-lib-fault",
    "a dot": ".",
    "two dots": "..",
    "nothing": "",
    "a space": " ",
    "a space within": "a b",
    "a line end": "a\nb",
    "a null": "a\0b",
    "an escape": "a\x1b[31mb",
    "300 letters": "a" * 300,
    "a Cyrillic letter": "b\u0430nk",
    "a letter from right to left": "a\u202eb",
    "an accent": "b\u00e4nk",
    "full-width": "\uff42ank",
    "a star": "*",
    "a question mark": "?",
    "a class of letters": "[a-z]ank",
    "a home": "~",
    "a variable": "$HOME",
    "a template": "${study.seed}",
    "a command": "$(touch x)",
    "a semicolon": "a;touch x",
    "a quote": "a'b",
    "an option": "--help",
    "hidden": ".hidden",
    "a backslash": "..\\x",
    "a percent": "%s",
    "braces": "{x}",
    "an at": "a@b",
}
NO_TEXT: dict[str, object] = {"a number": 1, "true": True, "null": None, "a date": "2020-01-01", "a fraction": 1.5}


@cache
def raw_params() -> dict[str, Any]:
    """The default study's parameters as they are written."""
    params: dict[str, Any] = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    return params


# where a new name comes in: the section's keys, and a row that the section has
PLACES = ("uaps.banks", "unseen.spgd.banks", "training.variants", "ablation.choices")


def named_in_params(place: str, name: object, project: Path) -> None:
    """A parameter file with a row of that name, which the check must refuse."""
    params = copy.deepcopy(raw_params())
    section = params
    for key in place.split("."):
        section = section[key]
    section[name] = copy.deepcopy(next(iter(section.values())))
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True), encoding="utf-8")
    called(["check"])
    expect(False, f"{place}.{name!r} passes the check")


def named_stage(words: Callable[[str], list[str]], name: str, project: Path) -> None:
    """A stage under that name, or of that notebook: refused before anything runs."""
    params = copy.deepcopy(raw_params())
    params["study"]["source"] = str(REPOSITORY)
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    files = {path for path in project.rglob("*") if path.is_file()}
    try:
        called(words(name))
    except StudyError:
        expect({path for path in project.rglob("*") if path.is_file()} == files, "refused after something was written")
        raise
    expect(False, "runs")


def named_bank(name: str, project: Path) -> None:
    """A bank that nobody made must not be found under another's name."""
    lay(project)
    load_bank(bank_file(Path("data"), "net", name), network=network())
    expect(False, "another bank is read")


def named_network(name: str, project: Path) -> None:
    """A network's bank that nobody made."""
    lay(project)
    load_bank(bank_file(Path("data"), name, "uap"))
    expect(False, "another network's bank is read")


def named_units(name: str, project: Path) -> None:
    """Units that nobody trained."""
    lay(project)
    units_file(Path("data"), "net", name)
    expect(False, "other units are found")


def named_defense(name: str, project: Path) -> None:
    """A defence that there is not."""
    lay(project)
    load_defended(Path("data"), "net", name, network())
    expect(False, "built")


@cache
def trained() -> str:
    """The hash of a network trained under a plain name."""
    return trained_as("net", images(), None)


def trained_as(name: str, data: Images, resume: Path | None) -> str:
    """A short training's result; its name also draws its random numbers."""
    net = network_of(5, data.pixels)
    fit(net, [net], data, RECIPE, seed=0, name=name, resume=resume)
    return weights_hash(net)


def named_training(name: str, project: Path) -> None:
    """A training that keeps its epochs under any name: the same result as without, and nothing outside its folder."""
    folder = Path("data/training")
    folder.mkdir(parents=True)
    expect(trained_as(name, images(), folder) == trained_as(name, images(), None), "keeping epochs changes the result")
    expect([path.name for path in project.rglob("*")] == ["data", "training"], "files left")


def named_folder(target: str, project: Path) -> None:
    """A profile's study in a folder where there is another: refused, and that one stays as it is."""
    for study in ("studies/a", "studies/b"):
        folder = project / study
        folder.mkdir(parents=True)
        (folder / "params.yaml").write_text((REPOSITORY / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
        (folder / "dvc.yaml").symlink_to("../../dvc.yaml")
    (project / "dvc.yaml").write_text("stages: {}\n")
    (project / "profile.yaml").write_text("study: {seed: 1}\n")
    before = {path: path.lstat().st_mtime_ns for path in project.rglob("*")}
    os.chdir(project / "studies/a")
    try:
        called(["folder", target, "--profile", "../../profile.yaml"])
    except StudyError:
        expect({path: path.lstat().st_mtime_ns for path in project.rglob("*")} == before, "refused after something was written")
        raise
    expect(False, "another study is replaced")


STUDIES = {"its own": ".", "its own from above": "../a", "another study": "../b", "the definition's": "../..", "a file": "params.yaml"}
STAGES: dict[str, Callable[[str], list[str]]] = {
    "stage": lambda name: ["run", "01_filter_norms", f"--as={name}", "--section=filter_norms"],
    "notebook": lambda name: ["run", "--as=x", "--section=filter_norms", "--", name],
    "section": lambda name: ["run", "01_filter_norms", "--as=x", f"--section={name}"],
}


def faults(rng: Random) -> Iterator[Fault]:
    """Every bad name at every place where a name may be given."""
    for label, name in BAD.items():
        for place in PLACES:
            yield Fault("names", f"{place}: {label}", partial(named_in_params, place, name), cost=0.2)
        for what, words in STAGES.items():
            if "\0" not in name:
                yield Fault("names", f"{what}: {label}", partial(named_stage, words, name), cost=0.2)
        for what, attempt in (("bank", named_bank), ("network", named_network), ("units", named_units), ("defense", named_defense)):
            yield Fault("names", f"{what} read: {label}", partial(attempt, name))
        yield Fault("names", f"training: {label}", partial(named_training, name), cost=0.3)
    for label, target in STUDIES.items():
        yield Fault("names", f"folder: {label}", partial(named_folder, target), cost=0.2)
    for label, value in NO_TEXT.items():
        for place in PLACES:
            if not isinstance(value, str):
                yield Fault("names", f"{place}: {label}", partial(named_in_params, place, value), cost=0.2)
