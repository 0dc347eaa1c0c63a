"""A file that others publish, by TLS alone: a later try goes on from what an earlier one left, and published sums say what is whole.

torchvision's own downloads are not used: where TLS fails, they go on without.
"""

import hashlib
import urllib.request as web
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError

from regen_lib.core.errors import StudyError
from regen_lib.core.progress import tqdm
from regen_lib.core.replacing import writing

# without a handler for http, an address that a server redirects there is refused as unknown
HANDLERS = (web.ProxyHandler, web.HTTPSHandler, web.HTTPRedirectHandler, web.HTTPDefaultErrorHandler, web.HTTPErrorProcessor)
TIMEOUT = 60  # seconds a server may stay silent
PIECE = 2**20  # bytes read at a time


def download_checked(url: str, file: Path, published: Mapping[str, str], elsewhere: str) -> None:
    """Download to ``file`` what has the ``published`` sums; a file with another sum is deleted, one that has them is not asked for again.

    ``published``: by hashlib's names of their kinds; without any, what comes whole is taken as it is. ``elsewhere`` says what to do where
    the server has nothing to give, and ends the :class:`StudyError` for that and for another sum.
    """
    if not (published and file.is_file() and right(file, published)):
        download(url, file, f"run it again, it goes on from there; or {elsewhere}")
    try:
        check(file, published, f"it was deleted: run it again, or {elsewhere}")
    except StudyError:
        file.unlink()
        raise


def check(file: Path, published: Mapping[str, str], remedy: str) -> None:
    """:class:`StudyError`, which ends in ``remedy``, unless a file has the ``published`` sums."""
    if not right(file, published):
        found, expected = (", ".join(f"{kind} {value}" for kind, value in sums.items()) for sums in (sums_of(file, published), published))
        raise StudyError(f"{file}: {found}, published {expected}: the file is damaged, or another one; {remedy}")


def right(file: Path, published: Mapping[str, str]) -> bool:
    """Whether a file has the ``published`` sums."""
    return sums_of(file, published) == published


def sums_of(file: Path, kinds: Iterable[str]) -> dict[str, str]:
    """A file's sums of these ``kinds``."""
    result = {}
    for kind in kinds:
        with file.open("rb") as data:
            result[kind] = hashlib.file_digest(data, kind).hexdigest()
    return result


def download(url: str, file: Path, remedy: str, timeout: float = TIMEOUT) -> None:
    """Download to ``file``, on from what an earlier try left.

    :class:`StudyError` where the server cannot be had, or ends too early; it ends in ``remedy``. Another where the file cannot be written.
    """
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    have = file.stat().st_size if file.is_file() else 0
    try:
        with answer_to(url, have, timeout) as answer:
            keep(answer, file, have if answer.status == HTTPStatus.PARTIAL_CONTENT else 0)
    except (OSError, HTTPException) as error:
        if have and isinstance(error, HTTPError) and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            file.unlink()  # there is nothing behind it: as long as what is published, or longer
            return download(url, file, remedy, timeout)
        raise StudyError(f"{url} cannot be had ({error}): {remedy}") from error


def answer_to(url: str, begin: int, timeout: float) -> HTTPResponse:
    """A server's answer, without the first ``begin`` bytes where it can leave them out."""
    opener = web.OpenerDirector()
    for handler in (*HANDLERS, web.UnknownHandler):
        opener.add_handler(handler())
    return opener.open(web.Request(url, headers={"Range": f"bytes={begin}-"} if begin else {}), timeout=timeout)


def keep(answer: HTTPResponse, file: Path, begin: int) -> None:
    """Write what a server sends, after the first ``begin`` bytes of ``file``; :class:`HTTPException` where it ends too early."""
    total = begin + answer.length if answer.length is not None else None
    bar = tqdm(total=total, initial=begin, unit="B", unit_scale=True, desc=file.name)
    with bar, writing(file), file.open("ab" if begin else "wb") as target:
        for piece in pieces(answer):
            target.write(piece)
            bar.update(len(piece))


def pieces(answer: HTTPResponse) -> Iterator[bytes]:
    """What a server sends; :class:`HTTPException` where that breaks off or is less than it promised: an OSError is of the disk alone."""
    try:
        while piece := answer.read(PIECE):
            yield piece
    except OSError as error:
        raise HTTPException(str(error)) from error
    if answer.length:
        raise HTTPException(f"it ended {answer.length:,} bytes too early")
