"""Published files on a server of this machine that can lie, stop half-way and go on: for tests of what is downloaded."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import HTTPHandler

import pytest

from regen_lib.data import download


class Server(NamedTuple):
    """What the server has, where it ends each file, whether it can go on, and what it was asked for: name and first byte.

    ``address`` is what its files' names stand behind, ``raw`` a folder for them, which is not there yet.
    """

    files: dict[str, bytes]
    cut: dict[str, int]
    ranges: list[bool]
    asked: list[tuple[str, int]]
    address: str
    raw: Path


def handler(state: Server) -> type[BaseHTTPRequestHandler]:
    """What answers for a server in that state."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path[1:]
            data, begin = state.files.get(name), int(self.headers.get("Range", "bytes=0-")[6:-1])
            state.asked.append((name, begin))
            onward = state.ranges[0] and begin > 0
            if data is None or (onward and begin >= len(data)):
                self.send_error(404 if data is None else 416)
                return
            sent = data[begin:] if onward else data
            self.send_response(206 if onward else 200)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent[: state.cut.get(name)])

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def serving(files: Mapping[str, bytes], raw: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """``files`` by http on this machine, and a downloader that takes http, too: the last of its handlers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as listening:
        state = Server(dict(files), {}, [True], [], f"http://127.0.0.1:{listening.server_port}/", raw)
        listening.RequestHandlerClass = handler(state)
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setattr(download, "HANDLERS", (*download.HANDLERS, HTTPHandler))
        try:
            yield state
        finally:
            listening.shutdown()
            thread.join()
