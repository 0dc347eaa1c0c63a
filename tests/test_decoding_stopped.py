"""A decoding that was stopped: what it takes up again, and what it does not."""

import contextlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image
from torch import Tensor

from regen_lib.core.errors import StudyError
from regen_lib.data import decoding
from regen_lib.data.image_file import Form
from tests.trees import make_tree, noise, prepared


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "raw")


class Stopped(NamedTuple):
    """A decoding in parts of two images that was stopped in its eighth, and what a whole one gives."""

    target: Path
    expected: bytes
    done: list[Path]


@pytest.fixture
def stopped(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stopped:
    monkeypatch.setattr(decoding, "SIZE", 2)
    monkeypatch.setattr(decoding, "WORKERS", 1)
    target, _ = prepared(raw, tmp_path)
    expected, done, real = target.read_bytes(), [], decoding.pixels
    target.unlink()

    def stop(data: bytes, path: Path, form: Form) -> tuple[Tensor, str]:
        done.append(path)
        if len(done) == 8:
            raise KeyboardInterrupt
        return real(data, path, form)

    monkeypatch.setattr(decoding, "pixels", stop)
    with pytest.raises(KeyboardInterrupt):
        prepared(raw, tmp_path)
    assert not target.exists()
    return Stopped(target, expected, done)


def test_goes_on_where_it_was_stopped(raw: Path, tmp_path: Path, stopped: Stopped) -> None:
    prepared(raw, tmp_path)
    assert stopped.target.read_bytes() == stopped.expected
    assert len(stopped.done) == 15 + 2  # the part that was interrupted had two images


def test_takes_up_nothing_made_of_other_bytes(raw: Path, tmp_path: Path, stopped: Stopped) -> None:
    """Other pixels in a file of the same name, size and time."""
    path, about = stopped.done[0], stopped.done[0].stat()
    image = Image.fromarray(noise(300, 300, 99).numpy())
    image.save(path, "JPEG", quality=30)
    path.write_bytes(path.read_bytes().ljust(about.st_size, b"\0"))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (about.st_size, about.st_mtime_ns)
    prepared(raw, tmp_path)
    again = stopped.target.read_bytes()
    shutil.rmtree(stopped.target.parent)
    prepared(raw, tmp_path)
    assert stopped.target.read_bytes() == again != stopped.expected


def test_a_mended_image_is_read_again(raw: Path, tmp_path: Path) -> None:
    target, _ = prepared(raw, tmp_path)
    expected, bad = target.read_bytes(), raw / "all/n02/01.JPEG"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:3000])
    with pytest.raises(StudyError, match="mend them"):
        prepared(raw, tmp_path)
    bad.write_bytes(whole)
    prepared(raw, tmp_path)
    assert target.read_bytes() == expected


def test_another_plan_leaves_nothing_behind(raw: Path, tmp_path: Path, stopped: Stopped) -> None:
    left = os.listdir(stopped.target.parent / "images.safetensors.parts")
    (stopped.target.parent / "images.safetensors.parts" / "note.json.99.regen.partial").touch()
    bad = raw / "all/n02/01.JPEG"
    bad.write_bytes(b"")
    with pytest.raises(StudyError):
        prepared(raw, tmp_path, counts={"train": 5, "test": None})
    assert not set(left) & set(os.listdir(stopped.target.parent / "images.safetensors.parts"))
    assert not list(stopped.target.parent.rglob("*.partial"))


def test_killed_while_gaps_are_closed_and_ends_are_written(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a part was moved and before its new note is there; before, while and after the ends are written."""
    (raw / "all/n01/06.JPEG").write_bytes(b"no image")
    monkeypatch.setattr(decoding, "SIZE", 2)
    target, _ = prepared(raw, tmp_path, unreadable="drop")
    expected = target.read_bytes()
    target.unlink()
    for call, name in ((9, "replace_bytes"), (2, "replace_bytes"), (1, "assemble"), (1, "write_ends"), (1, "header"), (2, "header")):
        with monkeypatch.context() as patch:
            patch.setattr(decoding, name, killed(getattr(decoding, name), call))
            with contextlib.suppress(KeyboardInterrupt):
                prepared(raw, tmp_path, unreadable="drop")
        assert not target.exists()
    prepared(raw, tmp_path, unreadable="drop")
    assert target.read_bytes() == expected
    assert os.listdir(target.parent) == ["images.safetensors"]


def killed(real: Callable[..., object], call: int) -> Callable[..., object]:
    """A function that at a certain call ends everything."""
    calls = iter(range(1, 1000))

    def at(*arguments: Any) -> object:
        if next(calls) == call:
            raise KeyboardInterrupt
        return real(*arguments)

    return at


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: re.sub(r'(labels\\": \[)(\d)', lambda found: f"{found[1]}{(int(found[2]) + 1) % 3}", text),
        lambda text: text[:40],
        lambda _: "",
        lambda _: "[]",
        lambda _: "{}",
    ],
)
def test_a_damaged_note_is_written_anew(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[str], str]) -> None:
    target, _ = prepared(raw, tmp_path)
    whole = target.read_bytes()
    target.unlink()

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(decoding, "assemble", stopped)
        with pytest.raises(KeyboardInterrupt):
            prepared(raw, tmp_path)
    note = next((tmp_path / "data").glob("*.parts/*.json"))
    spoilt = spoil(note.read_text())
    assert spoilt != note.read_text()
    note.write_text(spoilt)
    prepared(raw, tmp_path)
    assert target.read_bytes() == whole


def test_too_little_room_is_said_before_anything_is_decoded(
    raw: Path, tmp_path: Path, stopped: Stopped, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=900_000))
    done = len(stopped.done)
    with pytest.raises(StudyError, match=r"need 0\.001 GB, 0\.001 GB are free: make room"):  # of 2.3 MB the first 0.9 are written
        prepared(raw, tmp_path)
    assert len(stopped.done) == done
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1_600_000))
    prepared(raw, tmp_path)
    assert stopped.target.read_bytes() == stopped.expected
