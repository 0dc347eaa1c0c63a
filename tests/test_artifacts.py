"""Round trips, and everything that a file can be instead of what it should be."""

import math
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from regen_lib.core import storage
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images, load_images, save_images
from regen_lib.core.perturbations import Bank, Threat, load_bank, load_perturbations, save_bank, save_perturbations
from regen_lib.core.storage import read_tensors, weights_hash, write_tensors
from regen_lib.networks import build, load_network, save_network
from regen_lib.networks.blocks import initialise
from regen_lib.regeneration.files import load_units, save_units
from regen_lib.regeneration.unit import regenerate, units
from tests.conftest import TASK, draw

OPTIONS = {"width": 0.07, "stem": 1, "hidden": None, "batch_norm": True}


def bank_of(v: torch.Tensor, network: nn.Module, xi: float = 50.0) -> Bank:
    return Bank(v, Threat(math.inf, xi), "uap", "vgg16", weights_hash(network), 3, (0.8,) * len(v), (0.5, 0.8))


def test_bank_round_trip(tmp_path: Path, network: nn.Module) -> None:
    bank = bank_of(draw(4, *TASK.shape).clamp(-3, 3) * 10, network)
    save_bank(tmp_path / "b.safetensors", bank)
    again = load_bank(tmp_path / "b.safetensors", network=network, shape=TASK.shape)
    assert torch.equal(again.perturbations, bank.perturbations)
    assert (again.threat, again.fooling, again.history, again.seed) == (bank.threat, bank.fooling, bank.history, 3)
    first = (tmp_path / "b.safetensors").read_bytes()
    save_bank(tmp_path / "b.safetensors", bank)
    assert (tmp_path / "b.safetensors").read_bytes() == first
    assert os.listdir(tmp_path) == ["b.safetensors"]


def test_network_and_units_round_trip(tmp_path: Path, images: Images) -> None:
    network = initialise(build("vgg16", TASK, **OPTIONS), torch.Generator().manual_seed(0))
    save_network(tmp_path / "n.safetensors", network)
    loaded = load_network(tmp_path / "n.safetensors")
    assert weights_hash(loaded) == weights_hash(network)
    assert not any(p.requires_grad for p in loaded.parameters())
    defended = regenerate(loaded, ["conv1_1", "conv3_1"], ratio=0.5, width=1.0, generator=torch.Generator().manual_seed(1))
    save_units(tmp_path / "u.safetensors", defended, network=loaded, layers=["conv1_1", "conv3_1"], ratio=0.5, width=1.0)
    again = load_units(tmp_path / "u.safetensors", loaded)
    assert {k: weights_hash(u) for k, u in units(again).items()} == {k: weights_hash(u) for k, u in units(defended).items()}
    torch.testing.assert_close(again(images.pixels.float()), defended(images.pixels.float()))
    loaded.get_submodule("fc8").weight.data += 1
    with pytest.raises(StudyError, match="other weights"):
        load_units(tmp_path / "u.safetensors", loaded)


def test_images_and_perturbations_round_trip(tmp_path: Path, images: Images) -> None:
    save_images(tmp_path / "i.safetensors", {"train": images, "test": images.first(5)})
    again = load_images(tmp_path / "i.safetensors")
    assert torch.equal(again["train"].pixels, images.pixels)
    assert len(again["test"]) == 5
    save_perturbations(tmp_path / "p.safetensors", draw(3, 1, 2, 2), method="paper")
    assert torch.equal(load_perturbations(tmp_path / "p.safetensors"), draw(3, 1, 2, 2))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda v: v * 20, "exceeds xi"),
        (lambda v: v.index_fill(0, torch.tensor([1]), math.nan), "NaN"),
        (lambda v: v[:, 0], "expected float32"),
        (lambda v: v.double(), "expected float32"),
        (lambda v: v[:0], "K > 0"),
    ],
)
def test_no_such_bank(spoil, said: str, network: nn.Module) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StudyError, match=said):
        bank_of(spoil(draw(2, *TASK.shape).clamp(-3, 3) * 10), network)


def test_bank_files_that_do_not_fit(tmp_path: Path, network: nn.Module) -> None:
    path = tmp_path / "b.safetensors"
    save_bank(path, bank_of(draw(2, *TASK.shape), network))
    with pytest.raises(StudyError, match=r"\(1, 12, 12\), images of \(1, 28, 28\)"):
        load_bank(path, shape=(1, 28, 28))
    network.get_submodule("fc8").bias.data += 1
    with pytest.raises(StudyError, match="other weights"):
        load_bank(path, network=network)
    tensors, metadata = read_tensors(path, "bank")
    write_tensors(path, "bank", {"perturbations": tensors["perturbations"] * 1000}, **metadata)
    with pytest.raises(StudyError, match="exceeds xi"):
        load_bank(path)
    write_tensors(path, "bank", {"perturbations": tensors["perturbations"] * 0.5}, **metadata)
    with pytest.raises(StudyError, match="was written"):
        load_bank(path)
    write_tensors(path, "bank", {"perturbations": tensors["perturbations"] * math.nan}, **metadata)
    with pytest.raises(StudyError, match="NaN"):
        load_bank(path)


def test_files_that_are_no_artifacts(tmp_path: Path, network: nn.Module) -> None:
    path = tmp_path / "n.safetensors"
    with pytest.raises(StudyError, match="is missing: run what makes it first"):
        load_network(path)
    save_network(path, network)
    whole = path.read_bytes()
    for size in (0, 4, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(StudyError, match="truncated or no safetensors"):
            load_network(path)
    path.write_bytes(pickle.dumps({"weight": [1.0]}))
    with pytest.raises(StudyError, match="nothing is unpickled"):
        load_network(path)
    torch.save(network.state_dict(), path)
    with pytest.raises(StudyError, match="nothing is unpickled"):
        load_network(path)
    save_file({"weight": torch.ones(2)}, path)
    with pytest.raises(StudyError, match="expected kind 'network'"):
        load_network(path)
    save_perturbations(path, torch.ones(1, 1, 2, 2))
    with pytest.raises(StudyError, match="kind 'perturbations'"):
        load_network(path)
    save_perturbations(path, torch.ones(1, 1, 2, 2) / 0)
    with pytest.raises(StudyError, match="NaN or infinity"):
        load_perturbations(path)


def test_weights_that_do_not_fit(tmp_path: Path, network: nn.Module) -> None:
    path = tmp_path / "n.safetensors"
    state = network.state_dict()
    meta = {"network": "vgg16", "task": {"shape": TASK.shape, "classes": 4, "mean": TASK.mean, "std": TASK.std}, "options": OPTIONS}
    write_tensors(path, "network", {**state, "fc8.bias": torch.zeros(7)}, **meta)
    with pytest.raises(StudyError, match="does not fit"):
        load_network(path)
    write_tensors(path, "network", {**state, "fc8.bias": torch.full((4,), math.nan)}, **meta)
    with pytest.raises(StudyError, match=r"fc8\.bias holds NaN"):
        load_network(path)


def test_a_write_that_dies_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.safetensors"
    save_perturbations(path, torch.ones(1, 1, 2, 2))

    def die(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(storage.Path, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            save_perturbations(path, torch.zeros(1, 1, 2, 2))
    assert torch.equal(load_perturbations(path), torch.ones(1, 1, 2, 2))


@pytest.mark.parametrize(("name", "options", "said"), [("alexnet", {}, "choose one of caffenet"), ("vgg16", {"depth": 3}, "depth")])
def test_networks_that_do_not_exist(name: str, options: dict[str, int], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        build(name, TASK, **options)
