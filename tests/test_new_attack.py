"""An attack of one's own is one file and a row: that of docs/extending.md, in a copy of the project, and the tests that meet it there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.guide import GUIDE, shown
from tests.repository import copied_to

WORK = """
from pathlib import Path

import pytest
import torch
import yaml

import regen_lib as rl
from regen_lib.attacks import make
from regen_lib.study.params import load_params

params = yaml.safe_load(Path("params.yaml").read_text())
params["unseen"]["checkers"] = {"count": 2, "images": 40, "size": 3}
params["generalization"]["attacks"].append("checkers")
Path("params.yaml").write_text(yaml.safe_dump(params))
row = load_params(Path("params.yaml"))["unseen"]["checkers"]["banks"]["checkers"]

pixels = torch.randint(0, 256, (40, 1, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
images = rl.Images(pixels, torch.arange(40) % 4)
network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(144, 4)).eval()
bank = make(network, {"validation": images}, row, seed=5)
assert bank.perturbations.equal(rl.checkers(network, pixels, bank.threat, seed=5, count=2, size=3).perturbations)
assert bank.perturbations[0, 0, :3, :3].unique().abs().tolist() == [bank.threat.xi]
with pytest.raises(rl.StudyError, match="^checkers: size is 0: give a whole number, 1 or more$"):
    rl.checkers(network, pixels, bank.threat, seed=5, count=2, size=0)
"""
MEETING = ("test_api.py", "test_contract.py", "test_strangers.py", "test_attacks.py", "test_door.py")
CHOSEN = "checkers or import or see_the_names or docstring or every_attack_is_behind"  # of their tests


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with the guide's attack in it."""
    copy = copied_to(tmp_path_factory.mktemp("project"), ("regen_lib", "tests"), ("params.yaml", "pyproject.toml"))
    (copy / "regen_lib/attacks/checkers.py").write_text(shown("regen_lib/attacks/checkers.py"))
    return copy


def run(project: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *arguments], cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_file_and_a_row_are_an_attack(project: Path) -> None:
    run(project, "-c", WORK)
    assert "+  checkers: {count: 5, images: 5000, size: 4}\n" in GUIDE.read_text()


def test_every_test_of_the_attacks_takes_a_new_one(project: Path) -> None:
    said = run(project, "-m", "pytest", "-p", "no:cacheprovider", "-vv", "-k", CHOSEN, *(f"tests/{name}" for name in MEETING))
    for test in ("gives_a_bank[vit_b_16-checkers]", "keeps_the_protocol[threat1-checkers]", "is_there_and_documented[checkers]"):
        assert f"{test} PASSED" in said
