"""Downloads, from a server on this machine that can lie, stop half-way and go on."""

import hashlib
import io
import urllib.request as web
from collections.abc import Iterator
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from urllib.response import addinfourl

import pytest

from regen_lib.core.errors import StudyError
from regen_lib.data import download
from regen_lib.data.download import check, download_checked
from tests.server import Server, serving

NAME = "weights.bin"
DATA = bytes(range(256)) * 400
SUMS = {kind: hashlib.new(kind, DATA).hexdigest() for kind in ("md5", "sha1", "sha256")}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """One file."""
    with serving({NAME: DATA}, tmp_path / "data/raw", monkeypatch) as state:
        yield state


def fetch(server: Server, **sums: str) -> Path:
    """That file, downloaded into a folder that need not be there."""
    file = server.raw / NAME
    download_checked(server.address + NAME, file, sums, "find it elsewhere")
    return file


@pytest.mark.parametrize("sums", [SUMS, {}, {"md5": SUMS["md5"]}], ids=["all sums", "none", "one"])
def test_a_file_comes_with_a_bar(server: Server, sums: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch(server, **sums).read_bytes() == DATA
    assert server.asked == [(NAME, 0)]
    assert f"{NAME}: 100%" in capsys.readouterr().err


@pytest.mark.parametrize("kind", SUMS)
def test_another_sum_of_any_kind_is_refused_and_leaves_nothing(server: Server, kind: str) -> None:
    server.files[NAME] = DATA[:-1] + b"!"
    other = hashlib.new(kind, server.files[NAME]).hexdigest()
    said = rf"raw/{NAME}: .*{kind} {other}.*, published .*{kind} {SUMS[kind]}.*it was deleted: run it again, or find it elsewhere"
    with pytest.raises(StudyError, match=said):
        fetch(server, **{kind: SUMS[kind]})
    assert list(server.raw.iterdir()) == []
    server.files[NAME] = DATA
    assert fetch(server, **SUMS).read_bytes() == DATA


@pytest.mark.parametrize("onward", [True, False])
def test_a_cut_download_goes_on_or_starts_anew(server: Server, onward: bool, capsys: pytest.CaptureFixture[str]) -> None:
    server.cut[NAME] = 1024
    with pytest.raises(StudyError, match=r"101,376 bytes too early.*run it again, it goes on from there; or find it elsewhere"):
        fetch(server, **SUMS)
    assert (server.raw / NAME).read_bytes() == DATA[:1024]
    del server.cut[NAME]
    server.ranges[0] = onward
    capsys.readouterr()
    assert fetch(server, **SUMS).read_bytes() == DATA
    assert server.asked == [(NAME, 0), (NAME, 1024)]
    assert ("1.02k/102k" in capsys.readouterr().err) == onward  # where the bar begins


def test_a_download_that_was_killed_at_its_end_is_not_repeated(server: Server) -> None:
    server.raw.mkdir(parents=True)
    (server.raw / NAME).write_bytes(DATA)
    assert fetch(server, **SUMS).read_bytes() == DATA
    assert server.asked == []


@pytest.mark.parametrize(("left", "sums"), [(DATA + b"!", SUMS), (DATA, {})], ids=["too long", "no sum says that it is whole"])
def test_what_has_nothing_behind_it_is_downloaded_anew(server: Server, left: bytes, sums: dict[str, str]) -> None:
    server.raw.mkdir(parents=True)
    (server.raw / NAME).write_bytes(left)
    assert fetch(server, **sums).read_bytes() == DATA
    assert server.asked == [(NAME, len(left)), (NAME, 0)]


def test_what_was_left_of_another_file_is_deleted(server: Server) -> None:
    server.raw.mkdir(parents=True)
    (server.raw / NAME).write_bytes(b"another")
    with pytest.raises(StudyError, match="it was deleted"):
        fetch(server, **SUMS)
    assert fetch(server, **SUMS).read_bytes() == DATA
    assert server.asked == [(NAME, 7), (NAME, 0)]


def test_a_server_without_the_file_is_named(server: Server) -> None:
    del server.files[NAME]
    with pytest.raises(
        StudyError, match=rf"{server.address}{NAME} cannot be had \(HTTP Error 404.*\): run it again.* or find it elsewhere"
    ):
        fetch(server, **SUMS)
    assert list(server.raw.iterdir()) == []


@pytest.mark.parametrize("error", [OSError("reset"), TimeoutError("silent"), HTTPException("no length")])
def test_a_connection_that_breaks_is_no_fault_of_the_disk(server: Server, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def broken(*_: object) -> bytes:
        raise error

    monkeypatch.setattr("http.client.HTTPResponse.read", broken)
    with pytest.raises(StudyError, match=rf"cannot be had \({error}\)"):
        fetch(server, **SUMS)


def test_a_full_disk_is_no_fault_of_the_server(server: Server) -> None:
    server.raw.mkdir(parents=True)
    (server.raw / NAME).symlink_to("/dev/full")
    with pytest.raises(StudyError, match=rf"raw/{NAME} cannot be written: No space left on device: make room"):
        fetch(server, **SUMS)


def test_nothing_comes_without_tls(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "HANDLERS", download.HANDLERS[:-1])
    with pytest.raises(StudyError, match="unknown url type: http"):
        fetch(server, **SUMS)
    assert not server.asked


def test_no_redirect_leads_out_of_tls(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server that redirects is a pretended one: it answers whatever is asked by https."""

    class Elsewhere(web.HTTPSHandler):
        def https_open(self, request: web.Request) -> addinfourl:  # type: ignore[override]  # what a handler needs of it
            headers = Message()
            headers["Location"] = server.address + NAME
            answer = addinfourl(io.BytesIO(), headers, request.full_url, 302)
            answer.msg = "Found"
            return answer

    handlers = [Elsewhere if other is web.HTTPSHandler else other for other in download.HANDLERS]
    monkeypatch.setattr(download, "HANDLERS", handlers)
    file = server.raw / NAME
    download_checked(f"https://127.0.0.1/{NAME}", file, SUMS, "find it elsewhere")  # the tests' handler for http follows
    file.unlink()
    monkeypatch.setattr(download, "HANDLERS", handlers[:-1])
    with pytest.raises(StudyError, match="unknown url type: http"):
        download_checked(f"https://127.0.0.1/{NAME}", file, SUMS, "find it elsewhere")
    assert len(server.asked) == 1


def test_a_check_ends_in_its_remedy(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(DATA)
    check(tmp_path / NAME, SUMS, "ask its owner")
    with pytest.raises(StudyError, match=rf"{NAME}: md5 {SUMS['md5']}, published md5 0: .*; ask its owner$"):
        check(tmp_path / NAME, {"md5": "0"}, "ask its owner")
    assert (tmp_path / NAME).is_file()
