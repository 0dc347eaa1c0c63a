"""notebooks/quickstart.ipynb: its cells as they stand, on little, in this process."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nbformat
import pytest
import torch

import regen_lib as rl
from regen_lib.core.storage import weights_hash
from regen_lib.data import fashion_mnist
from regen_lib.study.stage import notebook_parameters
from tests.repository import REPOSITORY

NOTEBOOK = REPOSITORY / "notebooks/quickstart.ipynb"
LITTLE = {"images": 768, "epochs": 2, "members": 2, "images_each": 64, "test_images": 96, "xi": 40.0}


def patterns(count: int, seed: int) -> rl.Images:
    """Noisy copies of ten patterns of 7 x 7 squares, one for each class."""
    rng = torch.Generator().manual_seed(seed)
    squares = torch.rand(10, 1, 7, 7, generator=torch.Generator().manual_seed(0)).repeat_interleave(4, 2).repeat_interleave(4, 3)
    labels = torch.arange(count) % 10
    return rl.Images((155 * squares[labels] + 100 * torch.rand(count, 1, 28, 28, generator=rng)).byte(), labels)


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the notebook's names stand for after its last cell."""
    parameters = notebook_parameters(NOTEBOOK)
    assert set(parameters) > set(LITTLE)
    names: dict[str, Any] = {}
    raw = tmp_path_factory.mktemp("raw")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fashion_mnist, "fetch", lambda folder: (folder / "fetched").touch())
        splits = {"train": patterns(768, 1), "validation": patterns(400, 2), "test": patterns(200, 3)}
        patch.setattr(fashion_mnist, "read", lambda folder, validation, seed: splits if (folder / "fetched").exists() else None)
        for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
            if cell.cell_type == "code":
                exec(cell.source, names)
            if "parameters" in cell.metadata.get("tags", []):
                names |= LITTLE | {"raw": str(raw)}
    plt.close("all")
    return names


def test_units_restore_what_the_perturbation_took(after: dict[str, Any]) -> None:
    table = after["table"].set_index(["attack", "network"])
    assert len(table) == 6
    assert table.restoration["UAP", "units"] > table.restoration["UAP", "undefended"]
    assert table.clean_accuracy["UAP", "undefended"] > 0.7
    assert after["unseen"].measured <= LITTLE["xi"] * (1 + 1e-5)


def test_masking_everything_gives_the_clean_accuracy_back(after: dict[str, Any]) -> None:
    masked, test = after["masked"], after["test"]
    clean = float((rl.predict(after["network"], test.pixels) == test.labels).float().mean())
    assert masked.loc[1.0].tolist() == pytest.approx([clean, clean])
    assert masked.loc[0.0].nunique() == 1
    assert masked.loc[0.0].iloc[0] < clean


def test_the_noise_keeps_its_bound(after: dict[str, Any]) -> None:
    assert (after["filters"].observed <= after["filters"].bound * (1 + 1e-5)).all()
    assert after["filters"].bound.is_monotonic_decreasing


def test_the_network_is_as_it_was(after: dict[str, Any]) -> None:
    inner = after["defended"].network
    convolutions = {name: module.weight for name, module in after["model"].named_children() if name.startswith("conv")}
    assert all(torch.equal(inner.get_submodule(name).conv.weight, weight) for name, weight in convolutions.items())
    assert weights_hash(after["network"]) == after["known"].network_hash


def test_it_runs_where_a_reader_starts_it() -> None:
    assert Path(NOTEBOOK.parent / notebook_parameters(NOTEBOOK)["raw"]).resolve() == REPOSITORY / "data/raw"
