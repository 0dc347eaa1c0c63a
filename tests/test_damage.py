"""Every kind of artifact under every kind of damage: named with its path and what to do, never half believed."""

import json
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from regen_lib.core import storage
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images, load_images, save_images
from regen_lib.core.perturbations import Bank, Threat, load_bank, load_perturbations, save_bank, save_perturbations
from regen_lib.core.storage import read_tensors, weights_hash, write_tensors
from regen_lib.defenses._shared.files import load_defense, save_defense
from regen_lib.defenses.prn import prn
from regen_lib.networks import load_network, save_network
from regen_lib.regeneration.files import load_units, save_units
from regen_lib.regeneration.unit import regenerate
from tests.conftest import TASK, draw, rng

OPTIONS = {"width": 0.07, "stem": 1, "hidden": None, "batch_norm": True}
KINDS = ("network", "bank", "perturbations", "images", "units", "defense")
Load = Callable[[Path], Any]


@pytest.fixture
def artifacts(tmp_path: Path, network: torch.nn.Module, images: Images) -> dict[str, tuple[Path, Load]]:
    """One file of each kind, and how it is read."""
    paths = {kind: tmp_path / f"{kind}.safetensors" for kind in KINDS}
    v = draw(3, *TASK.shape).clamp(-3, 3)
    save_network(paths["network"], network)
    save_bank(paths["bank"], Bank(v, Threat(torch.inf, 3.0), "uap", "vgg16", weights_hash(network), 0, (0.5,) * 3))
    save_perturbations(paths["perturbations"], v, method="paper")
    save_images(paths["images"], {"train": images, "test": images.first(5)})
    layers = ["conv1_1", "conv3_1"]
    defended = regenerate(network, layers, ratio=0.5, generator=rng())
    save_units(paths["units"], defended, network=network, layers=layers, ratio=0.5, width=1.0)
    rectified = prn(network, **(options := {"channels": 1, "maps": 2, "blocks": 1}))
    rectified.made = ("prn", options)
    save_defense(paths["defense"], rectified)
    reads: dict[str, Load] = {
        "network": load_network,
        "bank": load_bank,
        "perturbations": load_perturbations,
        "images": load_images,
        "units": lambda path: load_units(path, network),
        "defense": lambda path: load_defense(path, network, "prn"),
    }
    for kind in KINDS:
        reads[kind](paths[kind])
    return {kind: (paths[kind], reads[kind]) for kind in KINDS}


def refused(path: Path, read: Load) -> str:
    """The message of a file that must be refused, with its path and a remedy."""
    with pytest.raises(StudyError) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message
    remedies = ("delete it and make it again", "run what makes it first", "cannot be read", "give the network whose hash is")
    assert any(remedy in message for remedy in remedies)
    assert len(message) < 1000
    return message


@pytest.mark.parametrize("kind", KINDS)
def test_one_flipped_bit_anywhere(kind: str, artifacts: dict[str, tuple[Path, Load]]) -> None:
    path, read = artifacts[kind]
    whole, draws = path.read_bytes(), random.Random(kind)
    header = 8 + int.from_bytes(whole[:8], "little")
    hash_at = whole.index(b"sha256") + len(b'sha256\\": \\"')
    places = [*range(8), *(draws.randrange(8, header) for _ in range(40)), *(draws.randrange(header, len(whole)) for _ in range(20))]
    for place in [*places, hash_at, hash_at + 63, header, len(whole) - 1]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << draws.randrange(8)
        path.write_bytes(damaged)
        refused(path, read)
    path.write_bytes(whole)
    read(path)


def zeroed(data: bytes) -> bytes:
    header = 8 + int.from_bytes(data[:8], "little")
    return data[:header] + bytes(len(data) - header)


def with_header(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    """The same arrays under another header."""

    def damage(data: bytes) -> bytes:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        text = json.dumps(change(header)).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + data[8 + size :]

    return damage


def retyped(header: dict[str, Any]) -> dict[str, Any]:
    """Every array of float32 declared to be of integers, every other of another type of that size."""
    same_size = {"F32": "I32", "I64": "F64", "U8": "I8"}
    return {key: {**v, "dtype": same_size[v["dtype"]]} if "dtype" in v else v for key, v in header.items()}


def flattened(header: dict[str, Any]) -> dict[str, Any]:
    return {key: {**v, "shape": [int(np.prod(v["shape"]))]} if "shape" in v else v for key, v in header.items()}


def without_hash(header: dict[str, Any]) -> dict[str, Any]:
    """As an older version wrote it."""
    metadata = json.loads(header["__metadata__"]["regen_lib"])
    metadata = {key: value for key, value in metadata.items() if key != "sha256"} | {"format": 1}
    return {**header, "__metadata__": {"regen_lib": json.dumps(metadata)}}


BYTES = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "longer": lambda data: data + b"0",
    "zeroed": zeroed,
    "a pickle": lambda data: b"\x80\x04N.",
    "a huge header": lambda data: struct.pack("<Q", 2**62) + data[8:],
    "a deep header": lambda data: struct.pack("<Q", 200_000) + b"[" * 200_000,
    "deep metadata": with_header(lambda h: {**h, "__metadata__": {"regen_lib": "[" * 100_000}}),
    "metadata that are a list": with_header(lambda h: {**h, "__metadata__": {"regen_lib": "[1, 2]"}}),
    "no metadata": with_header(lambda h: {key: value for key, value in h.items() if key != "__metadata__"}),
    "renamed arrays": with_header(lambda h: {key if key == "__metadata__" else key + "x": value for key, value in h.items()}),
    "other types": with_header(retyped),
    "other shapes": with_header(flattened),
    "an older version": with_header(without_hash),
}


@pytest.mark.parametrize("damage", BYTES)
@pytest.mark.parametrize("kind", KINDS)
def test_other_bytes(kind: str, damage: str, artifacts: dict[str, tuple[Path, Load]]) -> None:
    path, read = artifacts[kind]
    path.write_bytes(BYTES[damage](path.read_bytes()))
    refused(path, read)


def other_type(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor.to(torch.int32)


def test_a_change_that_a_hash_covers_is_refused_all_the_same(artifacts: dict[str, tuple[Path, Load]]) -> None:
    """Written by somebody who seals what is wrong: names, types, shapes, values and keys are looked at themselves."""
    for kind, (path, read) in artifacts.items():
        tensors, metadata = read_tensors(path, kind)
        tensors = {name: tensor.clone() for name, tensor in tensors.items()}
        first = sorted(tensors)[0]
        wrong: list[tuple[dict[str, torch.Tensor], dict[str, Any]]] = [
            ({}, metadata),
            ({f"{name}x": tensor for name, tensor in tensors.items()}, metadata),
            ({**tensors, "more": torch.zeros(1)}, metadata),
            ({**tensors, first: tensors[first][None]}, metadata),
            ({**tensors, first: other_type(tensors[first])}, metadata),
        ]
        if kind != "images":
            float_name = next(name for name in sorted(tensors) if tensors[name].is_floating_point())
            spoilt = tensors[float_name].clone()
            spoilt.view(-1)[0] = torch.nan
            wrong.append(({**tensors, float_name: spoilt}, metadata))
        if kind == "perturbations":
            wrong.pop(2)  # its other arrays nobody reads
        if kind == "bank":
            wrong.pop(2)
            threats = [
                {**metadata["threat"], **change} for change in ({"xi": 1.0}, {"xi": "3"}, {"norm": "1"}, {"xi": -3.0}, {"target": 2})
            ]
            wrong += [(tensors, {**metadata, "threat": threat}) for threat in threats]
            wrong += [(tensors, {**metadata, "xi_measured": 2.0}), (tensors, {**metadata, "fooling": [0.5]})]
        if kind not in ("images", "perturbations"):
            wrong += [(tensors, {k: v for k, v in metadata.items() if k != missing}) for missing in metadata if missing != "history"]
            wrong += [(tensors, dict.fromkeys(metadata)), (tensors, {k: [[]] for k in metadata})]
        for arrays, words in wrong:
            write_tensors(path, kind, arrays, **words)
            refused(path, read)


def test_what_is_no_file(tmp_path: Path) -> None:
    assert "is missing" in refused(tmp_path / "none.safetensors", load_bank)
    (tmp_path / "folder.safetensors").mkdir()
    assert "is no file" in refused(tmp_path / "folder.safetensors", load_bank)
    (tmp_path / "loop.safetensors").symlink_to("loop.safetensors")
    assert "is no file" in refused(tmp_path / "loop.safetensors", load_bank)
    os.mkfifo(tmp_path / "fifo.safetensors")
    assert "is no file" in refused(tmp_path / "fifo.safetensors", load_bank)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.safetensors"
    save_perturbations(path, torch.ones(1, 1, 2, 2))

    def forbidden(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(storage.Path, "open", forbidden)
    assert "cannot be read: Permission denied" in refused(path, load_perturbations)


def test_the_hash_is_that_of_all_other_bytes(tmp_path: Path) -> None:
    """By hand: the file without the 64 letters of the hash."""
    import hashlib

    path = tmp_path / "p.safetensors"
    save_perturbations(path, draw(3, 1, 4, 4), note='a "sha256": "quoted"')
    data = path.read_bytes()
    written = json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["regen_lib"])["sha256"]
    assert hashlib.sha256(data.replace(written.encode(), b"", 1)).hexdigest() == written
    assert load(data).keys() == load(save({"perturbations": torch.zeros(1)})).keys()


def test_a_large_file_is_hashed_once_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, calls, real = tmp_path / "p.safetensors", list[int](), storage.content

    def counted(file: Any) -> tuple[int, str]:
        calls.append(1)
        return real(file)

    monkeypatch.setattr(storage, "content", counted)
    save_perturbations(path, torch.ones(2, 3, 256, 256))
    calls.clear()
    for _ in range(3):
        load_perturbations(path)
    assert len(calls) == 1
    save_perturbations(path, torch.zeros(2, 3, 256, 256))
    assert not load_perturbations(path).any()
