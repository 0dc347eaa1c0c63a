"""Published files, checked; every way they can be wrong."""

import gzip
import hashlib
import struct
import subprocess
from pathlib import Path

import pytest
import torch

from regen_lib.core.errors import StudyError
from regen_lib.data import fashion_mnist
from regen_lib.data.fashion_mnist import check, fetch, published, read, read_idx
from tests.repository import REPOSITORY
from tests.server import serving

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

    sources(monkeypatch, none=absent, net=fashion_mnist.from_authors, apt=broken)
    name = next(iter(four))
    with serving(four, tmp_path / "raw", monkeypatch) as server:
        monkeypatch.setattr(fashion_mnist, "AUTHORS", server.address)
        server.cut[name] = 10
        with pytest.raises(StudyError, match=rf"no source has train.*none: not here.*net: .*{name} cannot be had .*too early.*apt: .*100"):
            fetch(tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []


def test_what_the_authors_have_is_downloaded_and_checked(tmp_path: Path, four: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    sources(monkeypatch, authors=fashion_mnist.from_authors, good=lambda names: {n: four[n] for n in names})
    with serving(four, tmp_path / "raw", monkeypatch) as server:
        monkeypatch.setattr(fashion_mnist, "AUTHORS", server.address)
        fetch(server.raw)
        assert {p.name: p.read_bytes() for p in server.raw.iterdir()} == four
        last = list(four)[-1]
        (server.raw / last).unlink()
        server.files[last] = b"another"  # refused, and the next source has it
        fetch(server.raw)
        assert {p.name: p.read_bytes() for p in server.raw.iterdir()} == four
    assert server.asked == [(name, 0) for name in (*four, last)]


def test_the_authors_are_asked_by_tls() -> None:
    assert fashion_mnist.AUTHORS.startswith("https://")


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
