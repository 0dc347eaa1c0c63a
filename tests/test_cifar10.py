"""CIFAR-10's binary version, from a small archive in the published format."""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torchvision.datasets import CIFAR10

from regen_lib.core import processes
from regen_lib.core.errors import StudyError
from regen_lib.core.images import load_images
from regen_lib.data import cifar10
from regen_lib.data.sources import fetch, prepare
from tests.server import Server, serving

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


@pytest.fixture
def server(tmp_path: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The archive by http on this machine."""
    with serving({cifar10.ARCHIVE: archive}, tmp_path / "raw", monkeypatch) as state:
        monkeypatch.setattr(cifar10, "URL", state.address + cifar10.ARCHIVE)
        yield state


def test_splits_are_the_archives_records(tmp_path: Path, archive: bytes, server: Server) -> None:
    target = tmp_path / "data/images.safetensors"
    classes = prepare("cifar10", tmp_path / "raw", target, validation=6, seed=0)
    assert {path.name: path.read_bytes() for path in server.raw.iterdir()} == {"cifar-10-binary.tar.gz": archive}
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
    assert server.asked == [("cifar-10-binary.tar.gz", 0)]  # nothing is asked again


def test_what_is_not_the_published_archive(archive: bytes, server: Server) -> None:
    server.files[cifar10.ARCHIVE] = archive[:-1]
    with pytest.raises(StudyError, match=r"sha256 .* published .* deleted: run it again, or put cifar-10-binary.tar.gz into"):
        fetch("cifar10", server.raw)
    assert list(server.raw.iterdir()) == []
    del server.files[cifar10.ARCHIVE]
    with pytest.raises(StudyError, match=r"404.*\): run it again.* or put cifar-10-binary.tar.gz into"):
        fetch("cifar10", server.raw)
    with pytest.raises(StudyError, match="is missing: run the images stage"):
        cifar10.read(server.raw, 6, 0)
    (server.raw / cifar10.ARCHIVE).write_bytes(archive + b"\0")
    for work in (lambda: fetch("cifar10", server.raw), lambda: cifar10.read(server.raw, 6, 0)):
        with pytest.raises(StudyError, match=r"damaged.*delete it and run again"):
            work()
    assert (server.raw / cifar10.ARCHIVE).is_file()  # the user's own


def test_a_cut_download_goes_on_and_is_no_archive_before_it_is_whole(archive: bytes, server: Server) -> None:
    server.cut[cifar10.ARCHIVE] = 100
    with pytest.raises(StudyError, match=r"too early\): run it again, it goes on from there; or put cifar-10-binary.tar.gz into"):
        fetch("cifar10", server.raw)
    assert [path.name for path in server.raw.iterdir()] == ["cifar-10-binary.tar.gz.partial"]  # a name that DVC passes over
    server.cut.clear()
    fetch("cifar10", server.raw)
    assert [begin for _, begin in server.asked] == [0, 100]
    assert {path.name: path.read_bytes() for path in server.raw.iterdir()} == {cifar10.ARCHIVE: archive}


def test_one_of_several_processes_fetches(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.raw.mkdir()
    for rank, asked in ((1, 0), (0, 1)):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        fetch("cifar10", server.raw)
        assert len(server.asked) == asked


def test_options_of_another_source(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"images\.options has side: cifar10 takes no options"):
        prepare("cifar10", tmp_path, tmp_path / "images.safetensors", validation=6, seed=0, side=32)


def test_the_address_is_beside_torchvisions() -> None:
    assert cifar10.URL.rsplit("/", 1) == [CIFAR10.url.rsplit("/", 1)[0], "cifar-10-binary.tar.gz"]
    assert cifar10.URL.startswith("https://")
