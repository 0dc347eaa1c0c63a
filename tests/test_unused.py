"""Rows of params.yaml that come to nothing: the check names them, and the studies have none."""

from argparse import Namespace
from pathlib import Path

import pytest
import yaml

import regen_lib.study.__main__ as command
from regen_lib.study.params import load_params
from regen_lib.study.unused import unused
from tests.repository import REPOSITORY

STUDIES = [REPOSITORY / "params.yaml", *sorted((REPOSITORY / "studies").glob("*/params.yaml"))]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.parent.name)
def test_the_studies_have_none(path: Path) -> None:
    assert list(unused(load_params(path))) == []


def test_the_check_names_a_network_and_an_attack_whose_names_were_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["study"]["source"] = str(REPOSITORY)
    params["networks"]["squeezenet"] = {**params["networks"]["vgg16"], "options": {}}
    params["unseen"]["again"] = {"attack": "random_signs", "count": 1, "images": 10}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.chdir(tmp_path)
    assert command.check(Namespace()) == 0
    assert capsys.readouterr().err.splitlines() == [
        "warning: params.yaml: networks.squeezenet: no stage runs it: name it in study.networks",
        "warning: params.yaml: unseen.again: the bank again is made, and no table compares it: name it in generalization.attacks",
    ]
