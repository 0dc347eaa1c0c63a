"""params.yaml: what is wrong in it is named; what is right is what the notebooks take."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

import regen_lib.study.__main__ as command
from regen_lib import networks
from regen_lib.core.environment import IN_STAGE, MEMORY_FORMAT
from regen_lib.core.errors import StudyError
from regen_lib.study import stage
from regen_lib.study.__main__ import main
from regen_lib.study.filling import Filling
from regen_lib.study.folder import prepare
from regen_lib.study.params import load_params, lookup, with_profile
from regen_lib.study.stage import Stage, notebook_parameters
from tests.repository import REPOSITORY

STUDIES = [REPOSITORY / "params.yaml", *sorted((REPOSITORY / "studies").glob("*/params.yaml"))]
PROFILES = sorted(
    path
    for place in ("profiles", "studies/*")
    for path in REPOSITORY.glob(f"{place}/*.yaml")
    if path.name not in ("params.yaml", "dvc.yaml")
)


def changed(tmp_path: Path, dotted: str, value: Any) -> Path:
    """A copy of the default study's parameters with one value changed (... removes the key)."""
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    *parents, last = dotted.split(".")
    section = params
    for part in parents:
        section = section[part]
    if value is ...:
        del section[last]
    else:
        section[last] = value
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    return tmp_path / "params.yaml"


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.parent.name)
def test_studies_are_valid(path: Path) -> None:
    assert set(load_params(path)["study"]["networks"]) <= set(networks.NETWORKS)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_profiles_make_studies(tmp_path: Path, profile: Path) -> None:
    """Down to what the library says of every option and of how many images there are."""
    base = REPOSITORY if profile.parent.name == "profiles" else profile.parent
    prepare(tmp_path / "study", base / "params.yaml", profile, raw=False)


@pytest.mark.parametrize(
    ("dotted", "value", "said"),
    [
        ("study.sede", 1, r"study\.sede: no such key here: correct its name, or remove it \(found 1\)"),
        ("study.seed", -1, r"study\.seed: give 0 or more \(found -1\)"),
        ("study.seed", ..., r"study\.seed: is missing"),
        ("study.networks", ["vgg19"], r"network 'vgg19' is unknown: choose one of caffenet"),
        ("study.networks", [], r"study\.networks"),
        ("networks.vgg16", ..., r"study\.networks\.3: network without a row in networks: give it one there \(found 'vgg16'\)"),
        ("units.vgg16", [f"conv{i}" for i in range(7)], r"units\.vgg16: give at most 6"),
        ("units.vgg16", {}, r"units\.vgg16: give at least 1"),
        ("units.vgg16", {"conv1_1": 0}, r"units\.vgg16\.conv1_1: give 1 or more"),
        ("training.variants.ours.ratio", 0, r"training\.variants\.ours\.ratio: give more than 0"),
        ("training.variants.ours.ratio", 1.5, r"give 1\.0 or less \(found 1\.5\)"),
        ("ablation.choices.drops.recipe", {"shedule": "drops"}, r"ablation\.choices\.drops\.recipe\.shedule: no such key here"),
        ("uaps.banks.train.threat", "l1", r"uaps\.banks\.train\.threat is 'l1': choose one of inf, l2"),
        ("unseen.sga", 3, r"unseen\.sga is 3: expected keys with values"),
        ("training.recipe.optimizer", "lion", r"'sgd' or 'adamw'"),
        ("threats.inf.norm", 1, r"threats\.inf\.norm: give inf or 2 \(found 1\)"),
        ("threats.inf.xi", 0, r"threats\.inf\.xi: give a number, 1e-06 or more and at most 255 \(found 0\)"),
        ("uaps.banks.train.attack", "fgsm", r"attack 'fgsm' is unknown: choose one of"),
        ("uaps.banks.train.split", "test", r"'train' or 'validation'"),
        ("synthesis.method", "mixup", r"'paper' or 'diverse'"),
        ("ablation.network", "resnet18", r"ablation\.network"),
        (
            "generalization.attacks",
            ["cosine"],
            r"generalization\.attacks\.0: no such bank: give it a row in uaps or unseen \(found 'cosine'\)",
        ),
        (
            "real_images",
            {"table": {"images": 5, "attacks": ["uap"], "variants": {"vgg_f": ["units6"]}, "reads": "ablation"}},
            r"real_images\.table\.variants\.vgg_f: units of ablation are those of vgg16: choose there \(found 'vgg_f'\)",
        ),
        (
            "real_images",
            {"table": {"images": 5, "attacks": ["uap"], "variants": {"vgg_f": ["units6"]}, "reads": "units/ours"}},
            r"real_images\.table\.variants\.vgg_f\.0: no such set of units",
        ),
        ("masking.layers", 1, r"masking\.layers: give 2 or more \(found 1\)"),
        ("masking.bank", "cosine", r"masking\.bank: no such bank: give it a row"),
        ("study.memory_format", "blocked", r"'channels_last' or 'contiguous'"),
        ("rivals.prn.recipe.compile", "default", r"rivals\.prn: .*serves Eq\. 7.s loss, not a rival.s own"),
        ("rivals.prn.built_on", "data/networks", r"rivals\.prn\.built_on: choose networks, or defenses/ and the name of another row"),
        ("rivals.prn.built_on", "defenses/prn", r"rivals\.prn\.built_on: is built on itself \(prn on prn\)"),
        ("evaluation.images", "many", r"evaluation\.images"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, dotted: str, value: Any, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        load_params(changed(tmp_path, dotted, value))


def test_files_that_are_no_parameters(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="is missing: run in the study"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("study: [")
    with pytest.raises(StudyError, match="no YAML"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("- study")
    with pytest.raises(StudyError, match="holds a list: expected sections"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("study: {seed: 1, seed: 2}")
    with pytest.raises(StudyError, match="seed given twice"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("study: [")
    with pytest.raises(StudyError, match="no YAML"):
        load_params(tmp_path / "params.yaml")
    with pytest.raises(StudyError, match=r"params.yaml has no 'a.c'"):
        lookup({"a": {"b": 1}}, "a.c")


def test_rows_are_filled_in() -> None:
    """By hand: a group's own values above the defaults, a row's above both, an option that is null left to the attack."""
    raw = {
        "threats": {"inf": {"norm": "inf", "xi": 60}, "l2": {"norm": 2, "xi": 1200}},
        "bank_defaults": {"threat": "inf", "target": 0.95, "start": 0},
        "uaps": {"attack": "uap", "passes": 40, "target": 0.8, "banks": {"a": {"passes": 3}, "b": {"threat": "l2", "patience": None}}},
        "strengths": {"network": "vgg16", "attack": "uap", "banks": {"half": {"times": 1.5}, "own": {"xi": 7}}},
        "unseen": {"sga": {"inner": 2}},
        "rivals": {"jpeg": {"built_on": "networks"}},
    }
    found = Filling(raw).filled_in()
    row = {"norm": "inf", "xi": 60, "attack": "uap", "target": 0.8, "start": 0, "options": {"passes": 3}}
    assert found["uaps"] == {"banks": {"a": row, "b": {**row, "norm": 2, "xi": 1200, "options": {"passes": 40}}}}
    assert found["strengths"]["network"] == "vgg16"
    assert [bank["xi"] for bank in found["strengths"]["banks"].values()] == [90, 7]
    assert found["unseen"]["sga"]["banks"] == {"sga": {**row, "attack": "sga", "target": 0.95, "options": {"inner": 2}}}
    assert found["rivals"]["jpeg"] == {"built_on": "networks", "options": {}, "training": {}, "recipe": None}


def test_a_profile_changes_and_drops() -> None:
    base = {"a": {"x": 1, "y": [1, 2], "z": {"k": 1}}, "b": {"row": 1, "other": 2}}
    profile = {"a": {"y": [3], "z": {"l": 2}}, "drop": ["b.row"]}
    assert with_profile(base, profile) == {"a": {"x": 1, "y": [3], "z": {"k": 1, "l": 2}}, "b": {"other": 2}}
    assert base["b"] == {"row": 1, "other": 2}
    with pytest.raises(StudyError, match=r"no 'b.none'"):
        with_profile(base, {"drop": ["b.none"]})


def notebook(path: Path, *cells: str) -> Path:
    """A notebook whose first cell is tagged ``parameters``."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.cells[0].metadata["tags"] = ["parameters"]
    book.metadata["language_info"] = {"name": "python"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(book, path)
    return path


PARAMS = {
    "run": {"launcher": "torchrun", "processes": 1},
    "study": {"source": ".", "seed": 4, "threads": 1, "memory_format": "contiguous", "networks": ["vgg16"]},
    "part": {"images": 7},
    "units": {"vgg16": ["conv1_1"]},
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stage tells its process goes no further than a test."""
    monkeypatch.setenv(IN_STAGE, "")
    monkeypatch.setenv(MEMORY_FORMAT, "channels_last")


def test_a_notebook_gets_exactly_its_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = notebook(tmp_path / "notebooks/n.ipynb", "root = '..'\nimages: int = 3  # test images\nseed = 0\nlayers = []")
    assert notebook_parameters(path) == {"root": "..", "images": 3, "seed": 0, "layers": []}
    given = Stage("n", "here", "part", ("layers=@units.vgg16",)).values(PARAMS)
    assert given == {"root": ".", "images": 7, "seed": 4, "layers": ["conv1_1"]}
    with pytest.raises(StudyError, match=r"does not know: \['colour'\]"):
        Stage("n", "here", "part", ("layers=[]", "colour=red")).values(PARAMS)
    with pytest.raises(StudyError, match=r"nobody gives: \['layers'\]"):
        Stage("n", "here", "part", ()).values(PARAMS)
    with pytest.raises(StudyError, match=r"--section study\.seed is one value of params\.yaml, no section: name one"):
        Stage("n", "here", "study.seed", ("layers=[]",)).values(PARAMS)
    for setting, said in (
        ("layers=[1,", r"--set layers=\[1, has no value .*: give a plain one"),
        ("layers=2020-13-45", "--set layers=2020-13-45 has no value"),
        ("layers=@units.nobody", r"--set layers=@units.nobody has no value .*'nobody' is missing"),
        ("layers", "--set layers: give KEY=VALUE"),
    ):
        with pytest.raises(StudyError, match=said):
            Stage("n", "here", "part", (setting,)).values(PARAMS)
    two = notebook(tmp_path / "m.ipynb", "root = '..'", "x = 1")
    two.write_text(two.read_text().replace('"parameters"', '"other"'))
    with pytest.raises(StudyError, match="give exactly one that tag"):
        notebook_parameters(two)


@pytest.mark.parametrize(
    ("cells", "status", "said"),
    [
        (["print(images)"], 0, ""),
        (["1 / 0"], 1, "cell 2: ZeroDivisionError: division by zero"),
        (["raise SystemExit", "print('after')"], 2, "its last cell did not run"),
    ],
)
def test_a_stage_fails_where_its_notebook_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], cells: list[str], status: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "load_params", lambda path, **_: PARAMS)
    notebook(tmp_path / "notebooks/n.ipynb", "root = '..'\nimages = 3", *cells)
    assert main(["run", "n", "--section", "part", "--as", "here"]) == status
    assert said in capfd.readouterr().err
    assert (tmp_path / "executed/here.ipynb").is_file()


def test_a_stage_is_told_how_tensors_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "load_params", lambda path, **_: PARAMS)
    asks = "from regen_lib.core import devices\nassert devices.memory_format() == devices.FORMATS['contiguous']"
    notebook(tmp_path / "notebooks/n.ipynb", "root = '..'\nimages = 3", asks)
    assert main(["run", "n", "--section", "part", "--as", "here"]) == 0


def test_several_processes_are_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The launcher's own command, then the stage as it was asked for; a process that was started so starts no others."""
    (tmp_path / "notebooks").mkdir()
    notebook(tmp_path / "notebooks/n.ipynb", "root = '..'\nimages = 3", "print(images)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANK", raising=False)
    given = {**PARAMS, "run": {"launcher": "srun --nodes=2 torchrun", "processes": 4}}
    monkeypatch.setattr(command, "load_params", lambda path, **_: given)
    started: list[list[str]] = []

    def record(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        started.append(command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(stage.subprocess, "run", record)
    asked = ["run", "n", "--as", "here", "--section", "part"]
    assert main(asked) == 3
    assert started == [["srun", "--nodes=2", "torchrun", "--nproc-per-node=4", "-m", "regen_lib.study", *asked]]
    monkeypatch.setenv("RANK", "1")
    assert main(asked) == 0
    assert len(started) == 1
    assert (tmp_path / "build/usage/here-rank1.json").is_file()


def test_command_line_errors(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 2
    assert "params.yaml is missing" in capsys.readouterr().err
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    assert main(["run", "nowhere", "--as", "here", "--section", "images"]) == 2
    assert "nowhere.ipynb is missing" in capsys.readouterr().err


def test_an_executed_notebook_has_the_same_bytes_on_every_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an output of its stage: no times, no progress bars, no drawn names of cells."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "load_params", lambda path, **_: PARAMS)
    notebook(tmp_path / "notebooks/n.ipynb", "root = '..'\nimages = 3", "import sys\nprint(images)\nprint('a bar', file=sys.stderr)")
    found = []
    for _ in range(2):
        assert main(["run", "n", "--as", "here", "--section", "part"]) == 0
        found.append((tmp_path / "executed/here.ipynb").read_text())
    assert found[0] == found[1]
    assert "a bar" not in "".join(str(cell["outputs"]) for cell in nbformat.reads(found[0], 4).cells)
    assert "'7\\n'" in str(nbformat.reads(found[0], 4).cells[-1]["outputs"])
