"""The page of model cards: what a lock has, and what the tables say of it, on a study made by hand."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from regen_lib.study.pack.cards import KINDS
from regen_lib.study.report.models import models, trained
from regen_lib.study.report.studies import folders
from tests.locks import entry
from tests.repository import REPOSITORY

OUTPUTS = {
    "data/code": 0,
    "data/images.safetensors": 0,
    "data/networks/vgg16.safetensors": 0,
    "data/units/ours/vgg16.safetensors": 0,
    "data/defenses/jpeg": 2,
    "data/banks/uaps/vgg16": 2,
    "data/banks/gd_uap": 3,
    "data/white_box/ours/vgg16": 2,
    "data/synthetic": 2,
    "metrics/fig2.csv": 0,
}
NETWORKS = ("vgg16", "caffenet")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a lock and tables: restoration of jpeg .8 and .6, of units .9."""
    outs: list[Any] = [
        {"path": path, "md5": f"{number:032x}" + (".dir" if files else ""), "size": 12345, **({"nfiles": files} if files else {})}
        for number, (path, files) in enumerate(OUTPUTS.items())
    ]
    (tmp_path / "params.yaml").write_text("")
    banks = {"uaps": ("uap", "train"), "strengths": (), "gd_uap": ("gd_uap_none",)}
    rows: dict[str, Any] = {stage: {"banks": {name: {} for name in names}} for stage, names in banks.items()}
    params = {"uaps": rows["uaps"], "strengths": rows["strengths"], "unseen": {"gd_uap": rows["gd_uap"]}}
    monkeypatch.setattr("regen_lib.study.report.models.load_params", lambda _path: params)
    (tmp_path / "metrics").mkdir()
    cells = [("vgg16", "jpeg", 0.8), ("caffenet", "jpeg", 0.6), ("vgg16", "ours", 0.9), ("vgg16", "undefended", 0.5)]
    table = pd.DataFrame(
        [(*cell, attack) for cell in cells for attack in ("uap", "fff")], columns=["network", "defense", "restoration", "attack"]
    )
    table.assign(clean_accuracy=0.7, accuracy=0.4).to_csv(tmp_path / "metrics/defenses.csv", index=False)
    against = pd.DataFrame([("vgg16", "ours", 0.3), ("vgg16", "ours", 0.5)], columns=["network", "defense", "fooling_ratio"])
    against.assign(accuracy=0.2, attack=["spgd", "sga"]).to_csv(tmp_path / "metrics/table6_defenses.csv", index=False)
    made = [("uap", "vgg16", 0.6), ("train", "vgg16", 0.8), ("uap", "caffenet", 0.1), ("gd_uap_none", "vgg16", 0.2)]
    frame = pd.DataFrame(made, columns=["bank", "network", "fooling_unseen"])
    frame[:3].to_csv(tmp_path / "metrics/banks.csv", index=False)
    frame[2:].to_csv(tmp_path / "metrics/unseen.csv", index=False)
    outs += [entry(tmp_path, tmp_path / f"metrics/{name}.csv") for name in ("defenses", "table6_defenses")]
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": {"all": {"outs": outs}, "none": {"cmd": "true"}}}))
    return tmp_path


def test_what_was_trained_and_nothing_else(study: Path) -> None:
    table = models("s", study).set_index("path")
    assert set(table.index) == {path for path in OUTPUTS if path.split("/")[1] in KINDS}
    assert set(table.study) == {"s"}
    jpeg = table.loc["data/defenses/jpeg"]
    assert (jpeg.kind, jpeg.what, jpeg.network, jpeg.files, jpeg["size"], jpeg.md5) == ("defense", "JPEG", "each", 2, 12, f"{4:032x}")
    assert (jpeg.clean, jpeg.uaps, jpeg.unseen) == pytest.approx((0.7, 0.7, 0.7))
    units = table.loc["data/units/ours/vgg16.safetensors"]
    assert (units.kind, units.network, units.what, units.unseen) == ("units", "VGG-16", "regeneration (ours)", 0.9)
    assert table.loc["data/networks/vgg16.safetensors"].unseen == 0.5
    assert table.loc["data/synthetic"][["clean", "unseen", "fooling"]].isna().all()


def test_how_much_perturbations_fool(study: Path) -> None:
    fooling = models("s", study).set_index("path").fooling
    assert fooling["data/banks/uaps/vgg16"] == pytest.approx(0.7)  # its own network's two banks
    assert fooling["data/banks/gd_uap"] == pytest.approx(0.2)
    assert fooling["data/white_box/ours/vgg16"] == pytest.approx(0.4)


def test_a_study_that_has_not_run_has_no_cards(tmp_path: Path) -> None:
    assert models("s", tmp_path).empty


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10", "imagenette"])
def test_every_output_of_the_committed_studies_has_a_card(name: str) -> None:
    folder = folders(REPOSITORY)[name]
    table = models(name, folder)
    assert len(table) == len(list(trained(folder / "dvc.lock"))) > 0
    assert table.what.notna().all()
    assert table[table.kind == "units"].unseen.notna().any()
