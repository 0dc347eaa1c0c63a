"""Published files, checked; every way they can be wrong."""

import gzip
import hashlib
import struct
import subprocess
from http.client import IncompleteRead
from pathlib import Path

import pytest
import torch

from regen_lib.core.errors import StudyError
from regen_lib.data import fashion_mnist
from regen_lib.data.fashion_mnist import check, fetch, published, read, read_idx
from tests.repository import REPOSITORY

RAW = REPOSITORY / "data/raw"


def idx(values: torch.Tensor) -> bytes:
    head = struct.pack(">BBBB", 0, 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.numpy().tobytes()


@pytest.fixture
def four(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A data set of 12 + 4 images in the published layout, with sums of its own."""
    files = {}
    for stem, count in (("train", 12), ("t10k", 4)):
        pixels = torch.arange(count * 4, dtype=torch.uint8).view(count, 2, 2)
        files[f"{stem}-images-idx3-ubyte.gz"] = gzip.compress(idx(pixels))
        files[f"{stem}-labels-idx1-ubyte.gz"] = gzip.compress(idx(torch.arange(count, dtype=torch.uint8) % 10))
    monkeypatch.setattr(fashion_mnist, "SHA256", {name: hashlib.sha256(data).hexdigest() for name, data in files.items()})
    return {name: files[name] for name in fashion_mnist.SHA256}


def sources(monkeypatch: pytest.MonkeyPatch, **read: object) -> None:
    monkeypatch.setattr(fashion_mnist, "SOURCES", read)


def absent(names: list[str]) -> dict[str, bytes]:
    raise FileNotFoundError("not here")


def test_fetch_takes_the_first_source_that_is_whole(tmp_path: Path, four: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    sources(monkeypatch, none=absent, damaged=lambda names: dict.fromkeys(names, b"x"), good=lambda names: {n: four[n] for n in names})
    fetch(tmp_path / "raw")
    assert {p.name: p.read_bytes() for p in (tmp_path / "raw").iterdir()} == four
    sources(monkeypatch)  # nothing is asked again
    fetch(tmp_path / "raw")
    splits = read(tmp_path / "raw", validation=5, seed=0)
    assert {name: len(images) for name, images in splits.items()} == {"train": 7, "validation": 5, "test": 4}
    together = torch.cat([splits["train"].pixels, splits["validation"].pixels])[:, 0, 0, 0]
    assert sorted(together.tolist()) == list(range(0, 48, 4))
    assert splits["test"].labels.tolist() == [0, 1, 2, 3]


def test_no_source(tmp_path: Path, four: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(names: list[str]) -> dict[str, bytes]:
        raise subprocess.CalledProcessError(100, "apt-get")

    def cut_short(names: list[str]) -> dict[str, bytes]:
        raise IncompleteRead(b"x", 9)

    sources(monkeypatch, none=absent, net=cut_short, apt=broken)
    with pytest.raises(StudyError, match=r"no source has train.*none: not here.*net: IncompleteRead.*apt: .*100"):
        fetch(tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []


@pytest.mark.parametrize("damage", [lambda data: data[:-3], lambda data: b"\0" + data[1:], lambda data: b""])
def test_damaged_and_missing_files(tmp_path: Path, four: dict[str, bytes], damage) -> None:  # type: ignore[no-untyped-def]
    name = "t10k-labels-idx1-ubyte.gz"
    with pytest.raises(StudyError, match="is missing: run the images stage"):
        read_idx(tmp_path / name)
    (tmp_path / name).write_bytes(damage(four[name]))
    with pytest.raises(StudyError, match=r"SHA-256 .* published .* delete it"):
        read_idx(tmp_path / name)
    with pytest.raises(StudyError, match="damaged"):
        fetch(tmp_path)


@pytest.mark.skipif(not RAW.is_dir(), reason="data/raw is not there yet: `dvc repro images` fetches it")
def test_debians_files_are_the_published_ones() -> None:
    name = "t10k-labels-idx1-ubyte.gz"
    whole = (RAW / name).read_bytes()
    assert hashlib.sha256(whole).hexdigest() == fashion_mnist.SHA256[name]
    stem = name.removesuffix(".gz").encode() + b"\0"
    stripped = whole[:3] + b"\0" + whole[4:10] + whole[10 + len(stem) :]  # what `gzip -n` leaves
    assert gzip.decompress(stripped) == gzip.decompress(whole)
    assert published(name, stripped) == whole
    assert check(name, stripped) == whole
