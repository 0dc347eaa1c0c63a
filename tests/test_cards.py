"""Model cards of trained files, against what went into the files."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from regen_lib.core.storage import write_tensors
from regen_lib.study.pack.cards import Tables, card, trained


def test_trained_files_are_those_that_are_packed() -> None:
    paths = [Path("data") / name for name in ("banks/gap/uap.safetensors", "networks/notes.txt", "code/a.safetensors")]
    assert list(trained(paths)) == [(paths[0], "bank")]


def test_a_card_says_what_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("data/defenses/jpeg/vgg16.safetensors")
    write_tensors(path, "defense", {"w": torch.zeros(1234)}, defense="jpeg", options={"quality": 25}, network_hash="abc")
    train = {"count": 25, "attack": "uap", "norm": "inf", "xi": 61}
    params = {"rivals": {"jpeg": {"options": {"quality": 25}, "recipe": None}}, "uaps": {"banks": {"train": train}}}
    Path("metrics").mkdir()
    row = {"network": "vgg16", "defense": "jpeg", "attack": "gap", "xi": 60.0, "images": 1500, "clean_accuracy": 0.75, "accuracy": 0.5}
    row |= {"restoration": 0.625, "ci_low": 0.6, "ci_high": 0.65, "fooling_ratio": 0.25}
    pd.DataFrame([row, row | {"defense": "prn", "accuracy": 0.987}]).to_csv("metrics/defenses.csv", index=False)
    text = card(path, "defense", "clothes: 7 images in `test`", params, Tables(Path("metrics")))
    for said in ("# VGG-16 · JPEG", "numbers: 1,234", "clothes: 7 images", "quality 25", "25 of uap, norm inf at most xi = 61 of 255"):
        assert said in text
    assert "| gap | 60 | 1500 | 0.75 | 0.5 | 0.625 | 0.6 | 0.65 | 0.25 |" in text
    assert "0.987" not in text
    assert "None" not in text
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        f"## {head}" for head in ("Details", "Data", "Training", "Results", "Intended use", "Limits")
    ]
