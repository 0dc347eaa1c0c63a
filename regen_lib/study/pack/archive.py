"""``make pack`` and ``make unpack``: what the stages made, from a finished study into an archive, and from there into another copy.

The archive is a ZIP that any tool opens: the files under their own names, a model card for each that was trained, and ``SHA256SUMS``,
which ``sha256sum --check`` reads. Unpacking writes nothing unless the whole archive is undamaged and holds what dvc.lock asks for. No
file is unpickled, and none is written outside the outputs of ./dvc.yaml.
"""

import hashlib
import re
import shutil
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from regen_lib.core.errors import StudyError
from regen_lib.core.replacing import replacing
from regen_lib.study.pack.cards import cards
from regen_lib.study.pack.outputs import files, hash_of, outputs, owner

SUMS, CARDS = "SHA256SUMS", "cards/"
LINE = re.compile(r"(?P<sha256>[0-9a-f]{64})  (?P<name>[^\r\n]+)")
OLDEST = (1980, 1, 1, 0, 0, 0)  # the time of every file, so that the same study gives the same archive
LONGEST = 10_000_000  # bytes of SHA256SUMS
DAMAGED = "download it again, or pack it again where it was made"


def pack(target: Path) -> int:
    """Write the archive; returns how many files it has. :class:`StudyError` where the study is not what dvc.lock says, or not finished."""
    known = outputs()
    if other := [path for path, output in known.items() if output.status()]:
        raise StudyError(f"{other[0]} and {len(other) - 1} more outputs are not what dvc.lock says: `make repro` first")
    kept = {path.as_posix(): path for output in known.values() for path in files(output)}
    described = {f"{CARDS}{name}": text.encode() for name, text in cards(sorted(kept.values())).items()}
    sums = {name: hashlib.sha256(text).hexdigest() for name, text in described.items()}
    with replacing(target) as file, zipfile.ZipFile(file, "w") as archive:
        for name, path in sorted(kept.items()):
            with path.open("rb") as source:
                sums[name] = hashlib.file_digest(source, "sha256").hexdigest()
                source.seek(0)
                with archive.open(zipfile.ZipInfo(name, OLDEST), "w") as member:
                    shutil.copyfileobj(source, member)
        described[SUMS] = "".join(f"{value}  {name}\n" for name, value in sorted(sums.items())).encode()
        for name, text in described.items():
            archive.writestr(zipfile.ZipInfo(name, OLDEST), text)
    return len(sums)


def unpack(source: Path) -> int:
    """Put what an archive holds in its place and in DVC's cache, so that the stages which made it are up to date; returns how many files.

    :class:`StudyError`, before anything is written, for a damaged archive, a file that is no output of this study, an output that is
    not the one of dvc.lock, one that a link leads elsewhere, and one that has other files already.
    """
    known = outputs()
    with opened(source) as archive:
        md5 = checked(archive)
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for name, value in md5.items():
            if not name.startswith(CARDS):
                found[owner(name, known)][name] = value
        for path, of_files in found.items():
            in_place(of_files)
            if known[path].hash_info is None or hash_of(path, of_files) != known[path].hash_info.value:
                raise StudyError(
                    f"its {path} is not the one of dvc.lock: it was packed from another version of the study; check that one out"
                )
            if strays := [file for file in files(known[path]) if file.as_posix() not in of_files]:
                raise StudyError(f"{strays[0]} is no file of {path} as dvc.lock has it: remove it, or move it elsewhere")
        for name in (name for of_files in found.values() for name in of_files):
            with replacing(Path(name)) as file, archive.open(name) as member:
                shutil.copyfileobj(member, file)
    for path in found:
        known[path].commit()
    return len(md5)


@contextmanager
def opened(source: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, for a block in which whatever is wrong with it becomes a :class:`StudyError` with its name."""
    if not source.is_file():
        raise StudyError(f"{source} is missing: give the archive that `make pack` wrote")
    try:
        with zipfile.ZipFile(source) as archive:
            yield archive
    except StudyError as error:
        raise StudyError(f"{source}: {error}") from error
    except (zipfile.BadZipFile, EOFError, KeyError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise StudyError(f"{source} is damaged or no archive of `make pack` ({error}): {DAMAGED}") from error


def checked(archive: zipfile.ZipFile) -> dict[str, str]:
    """The MD5 sum of every file but SHA256SUMS; :class:`StudyError` unless the archive holds exactly what that lists, stored as it is."""
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise StudyError(f"a file is compressed, which `make pack` never does: {DAMAGED}")
    sums = listed(archive)
    if other := sorted({member.filename for member in members} ^ {SUMS, *sums}):
        raise StudyError(f"{other[0][:100]!r} is in the archive or in its {SUMS}, not in both: {DAMAGED}")
    if len(members) != len(sums) + 1:
        raise StudyError(f"a file is there twice, which `make pack` never does: {DAMAGED}")
    md5 = {}
    for name, expected in sums.items():
        sha256, other_sum = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        with archive.open(name) as member:
            while block := member.read(2**20):
                sha256.update(block)
                other_sum.update(block)
        if sha256.hexdigest() != expected:
            raise StudyError(f"{name} is damaged, its SHA-256 is not the one that {SUMS} has: {DAMAGED}")
        md5[name] = other_sum.hexdigest()
    return md5


def listed(archive: zipfile.ZipFile) -> Mapping[str, str]:
    """What SHA256SUMS says of every name."""
    if archive.getinfo(SUMS).file_size > LONGEST:
        raise StudyError(f"its {SUMS} is larger than {LONGEST:,} bytes: {DAMAGED}")
    lines = archive.read(SUMS).decode().splitlines()
    matches = [LINE.fullmatch(line) for line in lines]
    return {match["name"]: match["sha256"] for match in matches if match} if all(matches) else {}


def in_place(names: Iterable[str]) -> None:
    """:class:`StudyError` where a link leads what would be written at one of these paths elsewhere."""
    for folder in sorted({Path(name).parent for name in names}):
        if (elsewhere := folder.resolve()) != Path.cwd() / folder:
            raise StudyError(f"{folder} leads to {elsewhere}: put a folder in place of the link")
