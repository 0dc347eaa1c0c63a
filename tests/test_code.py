"""What a stage runs again for: code that it uses and values that it is given, and nothing else."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from regen_lib.core import source
from regen_lib.study import code
from regen_lib.study.folder import prepare
from regen_lib.study.stage import Stage, parsed
from tests.guide import shown
from tests.repository import REPOSITORY, copied_to


def test_prose_and_layout_do_not_count() -> None:
    one = '"""Doc."""\nimport os\n\n\ndef f(x: int) -> int:\n    """What f does."""\n    return x + 1  # why\n'
    two = '"""Another."""\nimport os\ndef f(x: int) -> int:\n    # why not\n    return (x +\n        1)\n'
    assert source.plain(ast.parse(one)) == source.plain(ast.parse(two))
    assert source.plain(ast.parse(one)) != source.plain(ast.parse(one.replace("+ 1", "+ 2")))
    assert source.plain(ast.parse("def f():\n    'only this'\n")) == source.plain(ast.parse("def f():\n    pass\n"))


def test_a_module_counts_with_all_that_it_imports() -> None:
    found = source.hashes({"regen_lib.attacks.sga"})
    assert {"regen_lib/attacks/sga.py", "regen_lib/attacks/_shared/loss_gradient.py", "regen_lib/core/errors.py"} <= set(found)
    assert not any("uap" in name or "defenses" in name or "study" in name for name in found)
    assert source.files("numpy.linalg") == ()


def test_imports_inside_functions_count_and_those_for_types_do_not() -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a.b\ndef f():\n    from c import d\n    import e\n"
    assert source.imports(ast.parse(text)) == {"typing", "typing.TYPE_CHECKING", "c", "c.d", "e"}


def test_names_in_parameters_are_modules() -> None:
    given = {
        "networks": ["vgg16", "caffenet"],
        "fig6_network": "vgg_f",
        "attacks": ["sga"],  # banks that other stages made
        "banks": {"spgd": {"attack": "spgd", "options": {"loss": "gap"}}},
        "rivals": {"jpeg": {"built_on": "networks"}, "prn_det": {"built_on": "defenses/prn"}},
        "defenses": ["undefended", "hgd"],
    }
    networks, attacks, defenses = ("vgg16", "caffenet", "vgg_f"), ("spgd",), ("jpeg", "prn", "prn_det", "hgd")
    expected = {f"regen_lib.networks.{name}" for name in networks} | {f"regen_lib.attacks.{name}" for name in attacks}
    assert code.named(given) == expected | {f"regen_lib.defenses.{name}" for name in defenses}


def test_the_reader_of_weights_counts() -> None:
    for weights, module in {"a/b.caffemodel": "caffe", "vgg.mat": "matconvnet", "x.pth": "pickled", "torchvision": "published"}.items():
        assert code.named({"recipe": {"weights": weights, "classes": 1000}}) == {f"regen_lib.weights.{module}"}
    assert "regen_lib/weights/_wire.py" in source.hashes(code.named({"recipe": {"weights": "b.caffemodel"}}))
    assert code.named({"recipe": {"epochs": 2}}) == set()


def test_commands_are_read_back() -> None:
    stage = Stage("04_training", "units-vgg16", "training", ("network=vgg16", "layers=@units.vgg16"))
    assert parsed(["python", "-m", "regen_lib.study", *stage.command]) == stage
    assert parsed(["python", "-m", "regen_lib.study", "report"]) is None


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code and the notebooks in a folder of their own, and below it one in which the smoke profile would run."""
    source = copied_to(tmp_path_factory.mktemp("source"), ("regen_lib", "notebooks"), ("dvc.yaml", "params.yaml"))
    prepare(source / "small", source / "params.yaml", REPOSITORY / "profiles/smoke.yaml")
    return source


def stamps(source: Path) -> dict[str, str]:
    """Every stage's file, written anew by the code that is there."""
    environment = {**os.environ, "PYTHONPATH": str(source)}
    command = [sys.executable, "-P", "-m", "regen_lib.study", "code"]
    done = subprocess.run(command, cwd=source / "small", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {path.stem: path.read_text() for path in (source / "small/data/code").glob("*.json")}


def differing(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_what_a_change_runs_again(copied: Path) -> None:
    """A comment: nothing. A line of one attack: it, and the attackers that are set to use it. A row: its own stage."""
    before = stamps(copied)
    shared = copied / "regen_lib/core/errors.py"
    shared.write_text(shared.read_text().replace("class StudyError", "# a remark\nclass StudyError").replace('"""Something', '"""Anything'))
    prose = copied / "notebooks/02_noise_masking.ipynb"
    book = json.loads(prose.read_text())
    book["cells"][0]["source"] = ["# Another title"]
    prose.write_text(json.dumps(book))
    assert differing(before, stamps(copied)) == set()
    attack = copied / "regen_lib/attacks/sga.py"
    attack.write_text(attack.read_text() + "\n\nADDED = 1\n")
    changed = differing(before, after := stamps(copied))
    assert "unseen-sga" in changed
    assert changed - {"unseen-sga"} == {name for name in before if name.startswith("white_box")}
    params = copied / "small/params.yaml"
    given = yaml.safe_load(params.read_text())
    given["unseen"]["gap"]["passes"] = 2
    params.write_text(yaml.safe_dump(given))
    assert differing(after, stamps(copied)) == {"unseen-gap"}


def test_a_new_attack_is_a_file_and_a_row(copied: Path) -> None:
    before = stamps(copied)
    (copied / "regen_lib/attacks/checkers.py").write_text(shown("regen_lib/attacks/checkers.py"))
    params = copied / "small/params.yaml"
    given = yaml.safe_load(params.read_text())
    given["unseen"]["checkers"] = {"count": 1, "images": 10}
    params.write_text(yaml.safe_dump(given, sort_keys=False))
    after = stamps(copied)
    assert differing(before, after) == {"unseen-checkers"}
    assert "regen_lib/attacks/checkers.py" in json.loads(after["unseen-checkers"])["code"]


def test_data_beside_a_module_count(tmp_path: Path) -> None:
    module, beside = tmp_path / "paper.py", tmp_path / "paper.csv"
    module.write_text("x = 1\n")
    beside.write_text("a\n1\n")
    before = source.read(module)
    source.read.cache_clear()
    beside.write_text("a\n2\n")
    assert source.read(module)[0] != before[0]
