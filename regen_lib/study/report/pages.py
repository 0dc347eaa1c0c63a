"""Pages of which a program writes parts: what stands between two markers that name it."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from regen_lib.core.errors import StudyError
from regen_lib.core.storage import write_bytes

WRITER = "regen_lib.study.report.readme"


def insert(page: str, part: str, block: str, writer: str = WRITER) -> str:
    """A page's text with ``block`` between the markers of ``part``, which name its ``writer``.

    :class:`StudyError` unless both stand there once, and where a number of the block is none.
    """
    if found := re.search(r"\b(nan|inf)\b", block):
        raise StudyError(f"{part} would say {found[0]!r}: a number is missing from the study's tables; look at metrics/")
    begin, end = f"<!-- {part}: written by `python -m {writer}` -->", f"<!-- end of {part} -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise StudyError(f"the page needs the lines {begin!r} and {end!r} once each")
    before, rest = page.split(begin)
    return f"{before}{begin}\n{block}\n{end}{rest.split(end)[1]}"


def write_pages(
    pages: Mapping[str, Sequence[str]],
    blocks: Mapping[str, str],
    writer: str = WRITER,
    root: Path = Path(),
) -> None:
    """Write the blocks into those of ``pages`` that are there, below ``root``. :class:`StudyError` names the page."""
    for name, parts in pages.items():
        path = root / name
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            try:
                for part in parts:
                    text = insert(text, part, blocks[part], writer)
            except StudyError as error:
                raise StudyError(f"{name}: {error}") from error
            write_bytes(path, text.encode())
