"""CIFAR-10's binary version, from a small archive in the published format."""

import hashlib
import io
import tarfile
import urllib.request
from http.client import IncompleteRead
from pathlib import Path

import pytest
import torch
from torchvision.datasets import CIFAR10

from regen_lib.core.errors import StudyError
from regen_lib.core.images import load_images
from regen_lib.data import cifar10
from regen_lib.data.sources import fetch, prepare

EACH = 4  # images of a file


def record(number: int) -> bytes:
    """Image ``number``: of class ``number % 10``, its planes all of ``number``, ``number + 60`` and ``number + 120`` but for one pixel."""
    planes = bytearray(b"".join(bytes([number + 60 * channel]) * 1024 for channel in range(3)))
    planes[1024 + 2 * 32 + 5] = 255  # green, third row, sixth column
    return bytes([number % 10]) + bytes(planes)


def archived() -> bytes:
    """The files of the published archive with four images each: numbers 0 to 19 to train on, 20 to 23 to test."""
    names = [*(f"data_batch_{number}.bin" for number in (3, 1, 2, 5, 4)), "test_batch.bin", "batches.meta.txt"]
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for name in names:
            index = 5 if name == "test_batch.bin" else int(name[11]) - 1 if name.startswith("data") else None
            data = b"".join(record(EACH * index + k) for k in range(EACH)) if index is not None else b"airplane\n"
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return held.getvalue()


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> bytes:
    data = archived()
    monkeypatch.setattr(cifar10, "SHA256", hashlib.sha256(data).hexdigest())
    return data


def served(monkeypatch: pytest.MonkeyPatch, data: bytes | None) -> list[str]:
    """The network answers with ``data``, or not at all; the list fills with what was asked."""
    asked: list[str] = []

    def urlopen(url: str, timeout: float) -> io.BytesIO:
        asked.append(url)
        if data is None:
            raise OSError("no network")
        return io.BytesIO(data)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


def test_splits_are_the_archives_records(tmp_path: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = served(monkeypatch, archive)
    target = tmp_path / "data/images.safetensors"
    classes = prepare("cifar10", tmp_path / "raw", target, validation=6, seed=0)
    assert (asked, (tmp_path / "raw/cifar-10-binary.tar.gz").read_bytes()) == ([cifar10.URL], archive)
    assert list(classes) == ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    splits = load_images(target)
    assert {name: len(split) for name, split in splits.items()} == {"train": 14, "validation": 6, "test": 4}
    for split in splits.values():
        number = split.pixels[:, 0, 0, 0].long()
        assert split.labels.tolist() == (number % 10).tolist()
        planes = (number[:, None] + torch.tensor([0, 60, 120])).view(-1, 3, 1, 1).expand(-1, 3, 32, 32).clone()
        planes[:, 1, 2, 5] = 255
        assert torch.equal(split.pixels.long(), planes)
    assert splits["test"].pixels[:, 0, 0, 0].tolist() == [20, 21, 22, 23]
    assert sorted(torch.cat([splits[name].pixels for name in ("train", "validation")])[:, 0, 0, 0].tolist()) == list(range(20))
    fetch("cifar10", tmp_path / "raw")
    assert len(asked) == 1  # nothing is asked again


def cut_short(*_: object, **__: object) -> None:
    raise IncompleteRead(b"x", 9)


def test_what_is_not_the_published_archive(tmp_path: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, archive[:-1])
    with pytest.raises(StudyError, match=r"SHA-256 .* published .* delete it"):
        fetch("cifar10", tmp_path)
    assert list(tmp_path.iterdir()) == []
    served(monkeypatch, None)
    with pytest.raises(StudyError, match=r"no network\): put cifar-10-binary.tar.gz into"):
        fetch("cifar10", tmp_path)
    monkeypatch.setattr(urllib.request, "urlopen", cut_short)
    with pytest.raises(StudyError, match=r"IncompleteRead.*: put cifar-10-binary.tar.gz into"):
        fetch("cifar10", tmp_path)
    with pytest.raises(StudyError, match="is missing: run the images stage"):
        cifar10.read(tmp_path, 6, 0)
    (tmp_path / cifar10.ARCHIVE).write_bytes(archive + b"\0")
    for work in (lambda: fetch("cifar10", tmp_path), lambda: cifar10.read(tmp_path, 6, 0)):
        with pytest.raises(StudyError, match="damaged"):
            work()


def test_options_of_another_source(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"images\.options has side: cifar10 takes no options"):
        prepare("cifar10", tmp_path, tmp_path / "images.safetensors", validation=6, seed=0, side=32)


def test_the_address_is_beside_torchvisions() -> None:
    assert cifar10.URL.rsplit("/", 1) == [CIFAR10.url.rsplit("/", 1)[0], "cifar-10-binary.tar.gz"]
