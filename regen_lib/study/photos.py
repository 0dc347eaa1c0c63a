"""What the study of photographs reads, brought into its folder of raw data: ``make photos``. published.py says what there is to bring."""

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from regen_lib.core.errors import StudyError
from regen_lib.core.replacing import writing
from regen_lib.data.download import check, download_checked
from regen_lib.study.published import CLASSES, PUBLISHED, Published, absent, unpacked

ELSEWHERE = {"others": "images"}  # what a folder of one photograph a class may call them


def bring(raw: Path, folders: Sequence[Path] = (), weights: Path | None = None) -> None:
    """Put into ``raw`` what is not there yet: links to what ``folders`` have, or, without any, what is published.

    A published file that lies in ``weights`` by its own name is taken from there. What becomes part of ``raw`` does so whole, by renaming.
    :class:`StudyError` where something is missing, cut off or has another sum than the published one, or where room is short.
    """
    raw.mkdir(parents=True, exist_ok=True)
    work = raw.resolve().with_name(f"{raw.resolve().name}.partial")  # beside it: DVC hashes all that is in it
    missing = [published for published in PUBLISHED if absent(raw, published.gives)]
    if folders:
        link(raw, work / "made", folders, absent(raw, (name for published in missing for name in published.gives)))
    else:
        check_room(raw, missing)
        for published in missing:
            place(published, found(published, work, weights), raw, work / "made")
    shutil.rmtree(work, ignore_errors=True)
    print(f"{raw}: all there")


def check_room(raw: Path, missing: Iterable[Published]) -> None:
    """:class:`StudyError` where the disk has no room for what is missing."""
    needed, free = sum(published.room for published in missing), shutil.disk_usage(raw).free
    if needed > free:
        raise StudyError(f"{raw}: {needed / 1e9:.2f} GB are needed there, {free / 1e9:.2f} GB are free: make room, or let it be a link")


def found(published: Published, work: Path, weights: Path | None) -> Path:
    """A published file whose sums are right: in ``weights``, or downloaded into ``work``. A download with a wrong sum is deleted."""
    if weights and (given := weights / published.name).is_file():
        check(given, published.sums, "download it again")
        return given
    file = work / published.name
    elsewhere = f"download {published.name} elsewhere (docs/imagenet.md) and give WEIGHTS=its folder"
    download_checked(published.url, file, published.sums, elsewhere)
    return file


def place(published: Published, file: Path, raw: Path, made: Path) -> None:
    """Put into ``raw`` what is made of a published file, whole; a downloaded file is no longer needed then.

    :class:`StudyError` where the file cannot be what is published; a downloaded one is deleted: the next run would go on behind it.
    """
    anew(made)
    downloaded = file.parent == made.parent
    with writing(made, "see to room and rights there, and run it again"):  # the file itself may be whole
        try:
            unpacked(published, file, made)
        except StudyError as error:
            if downloaded:
                file.unlink()
            raise StudyError(f"{file}: {error}: {'run it again, it is downloaded anew' if downloaded else 'download it again'}") from error
    for name in absent(raw, published.gives):
        (made / name).rename(raw / name)
    if downloaded:
        file.unlink()
    print(f"{', '.join(published.gives)}: from {published.name}")


def link(raw: Path, made: Path, folders: Sequence[Path], names: Sequence[str]) -> None:
    """Put into ``raw`` links to the files that the first of the ``folders`` has that has them; :class:`StudyError` for what none has."""
    have = {name: [f / known for f in folders for known in (name, ELSEWHERE.get(name, name)) if (f / known).exists()] for name in names}
    if lacking := [name for name in names if not have[name]]:
        raise StudyError(
            f"{os.pathsep.join(map(str, folders))}: {', '.join(lacking)} not there: name one more folder, after a {os.pathsep!r}"
        )
    anew(made)
    for name, (first, *_) in have.items():
        source, ignored = first.resolve(), shutil.ignore_patterns(*(CLASSES if name == "others" else ()))
        if source.is_dir():
            shutil.copytree(source, made / name, copy_function=os.symlink, ignore=ignored)
        else:
            (made / name).symlink_to(source)
        (made / name).rename(raw / name)
        print(f"{name}: links to {source}")


def anew(folder: Path) -> None:
    """An empty folder, whatever a killed process left there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
