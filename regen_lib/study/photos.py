"""What the study of photographs reads, brought into its folder of raw data: ``make photos``. docs/imagenet.md says who publishes what.

torchvision has the address and the MD5 of Imagenette. Its own download is not used: where TLS fails, that goes on without.
"""

import gzip
import hashlib
import os
import re
import shutil
import tarfile
import urllib.request as web
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.error import HTTPError

from PIL import Image
from safetensors.torch import save
from torchvision.datasets import Imagenette

from regen_lib.core.errors import StudyError
from regen_lib.core.progress import tqdm
from regen_lib.core.replacing import replace_bytes, writing
from regen_lib.networks import build
from regen_lib.networks.blocks import Task
from regen_lib.weights import load_weights

# what archives raise that are damaged, or none: RuntimeError where one has a password, NotImplementedError where it is packed otherwise
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)
# without a handler for http, an address that a server redirects there is refused as unknown
HANDLERS = (web.ProxyHandler, web.HTTPSHandler, web.HTTPRedirectHandler, web.HTTPDefaultErrorHandler, web.HTTPErrorProcessor)
TIMEOUT = 60  # seconds a server may stay silent
PIECE = 2**20  # bytes read at a time
ADDRESS, MD5 = Imagenette._ARCHIVES["320px"]  # 320 on the shorter side are enough for 224 x 224
CLASSES = tuple(Imagenette._WNID_TO_CLASS)
PHOTOGRAPH = re.compile(r"[^/]+/(train|val)/(n\d{8})/([\w.-]+\.JPEG)")  # in Imagenette's archive
ONE_A_CLASS = re.compile(r"[^/]+/(n\d{8})_[^/]+\.JPEG")  # in that of one photograph a class


def unpack(file: Path, made: Path) -> None:
    """``train`` and ``val`` from Imagenette's archive."""
    with tarfile.open(file) as archive:
        for member in archive:
            if (found := PHOTOGRAPH.fullmatch(member.name)) and (data := archive.extractfile(member)):
                write(data, made.joinpath(*found.groups()))


def unpack_others(file: Path, made: Path) -> None:
    """``others`` from the archive of one photograph a class, but for the classes of Imagenette: what a unit was trained on is no other."""
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            if (found := ONE_A_CLASS.fullmatch(name)) and found[1] not in CLASSES:
                write(archive.open(name), made / "others" / found[1] / Path(name).name)


def write(data: IO[bytes], path: Path) -> None:
    """``data`` as a file, in a folder that need not be there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with data, path.open("wb") as file:
        shutil.copyfileobj(data, file, PIECE)


def squeezenet(file: Path, made: Path) -> None:
    """SqueezeNet's ``.caffemodel`` as the file that the study names."""
    network = build("squeezenet", Task((3, 224, 224), 1000, (0.0,) * 3, (1.0,) * 3))
    load_weights(network, str(file))
    replace_bytes(made / "squeezenet1_0.safetensors", save(network.state_dict()))


def named(name: str) -> Callable[[Path, Path], object]:
    """The file itself, by another name."""
    return lambda file, made: shutil.copyfile(file, made / name)


@dataclass(frozen=True)
class Published:
    """A file that others publish: its address, its sums (of hashlib's kinds), and the bytes that it takes with what is made of it.

    ``place(file, made)`` writes ``gives``, names in the study's raw data, into the folder ``made``. ``photographs``: how many these have,
    where no sum says that the file is whole.
    """

    gives: tuple[str, ...]
    url: str
    sums: Mapping[str, str]
    room: int
    place: Callable[[Path, Path], object]
    photographs: int | None = None

    @property
    def name(self) -> str:
        """What the file is called where it is published."""
        return self.url.rpartition("/")[2]


IMAGENETTE = Published(
    ("train", "val"),
    ADDRESS,
    {"md5": MD5, "sha256": "569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c"},
    750_000_000,
    unpack,
)
OTHERS = Published(
    ("others",),
    "https://github.com/EliSchwartz/imagenet-sample-images/archive/22d0a5c9c5c76d13532da2d29ea7fa2e9e034387.zip",
    {},  # nobody publishes one
    230_000_000,
    unpack_others,
    990,  # one of each class but Imagenette's ten
)
NAMES = Published(
    ("classes.json",),
    "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json",
    {"md5": "c2c37ea517e94d9795004a39431a14cb"},
    100_000,
    named("classes.json"),
)
GOOGLENET = Published(
    ("bvlc_googlenet.caffemodel",),
    "https://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel",
    {"sha1": "405fc5acd08a3bb12de8ee5e23a96bec22f08204"},
    120_000_000,
    named("bvlc_googlenet.caffemodel"),
)
SQUEEZENET = Published(
    ("squeezenet1_0.safetensors",),
    "https://github.com/forresti/SqueezeNet/raw/master/SqueezeNet_v1.0/squeezenet_v1.0.caffemodel",
    {"sha1": "579d0beb658e43c45937bf8bb5e4034fea4e1f69"},
    10_000_000,
    squeezenet,
)
PUBLISHED = (IMAGENETTE, OTHERS, NAMES, GOOGLENET, SQUEEZENET)
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


def absent(raw: Path, names: Iterable[str]) -> list[str]:
    """Those of ``names`` that are not in ``raw``."""
    return [name for name in names if not (raw / name).exists()]


def check_room(raw: Path, missing: Iterable[Published]) -> None:
    """:class:`StudyError` where the disk has no room for what is missing."""
    needed, free = sum(published.room for published in missing), shutil.disk_usage(raw).free
    if needed > free:
        raise StudyError(f"{raw}: {needed / 1e9:.2f} GB are needed there, {free / 1e9:.2f} GB are free: make room, or let it be a link")


def found(published: Published, work: Path, weights: Path | None) -> Path:
    """A published file whose sums are right: in ``weights``, or downloaded into ``work``. A download with a wrong sum is deleted."""
    if weights and (given := weights / published.name).is_file():
        check(published, given)
        return given
    file = work / published.name
    if not (published.sums and file.is_file() and right(published, file)):
        download(published, file)
    try:
        check(published, file)
    except StudyError:
        file.unlink()
        raise
    return file


def right(published: Published, file: Path) -> bool:
    """Whether a file has the published sums."""
    return sums(published, file) == published.sums


def sums(published: Published, file: Path) -> dict[str, str]:
    """A file's sums, of the kinds that are published."""
    result = {}
    for kind in published.sums:
        with file.open("rb") as data:
            result[kind] = hashlib.file_digest(data, kind).hexdigest()
    return result


def check(published: Published, file: Path) -> None:
    """:class:`StudyError` unless a file has the published sums."""
    if not right(published, file):
        raise StudyError(
            f"{file}: {sums(published, file)}, published {dict(published.sums)}: it is damaged or another file, download it again"
        )


def download(published: Published, file: Path) -> None:
    """Download to ``file``, on from what an earlier try left; :class:`StudyError` where the server cannot be had, or ends too early."""
    file.parent.mkdir(parents=True, exist_ok=True)
    have = file.stat().st_size if file.is_file() else 0
    opener = web.OpenerDirector()
    for handler in (*HANDLERS, web.UnknownHandler):
        opener.add_handler(handler())
    try:
        with opener.open(web.Request(published.url, headers={"Range": f"bytes={have}-"} if have else {}), timeout=TIMEOUT) as answer:
            keep(answer, file, have if answer.status == HTTPStatus.PARTIAL_CONTENT else 0)
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError) and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            file.unlink()  # longer than what is published
        remedy = (
            f"run it again, it goes on from there; or download {published.name} elsewhere (docs/imagenet.md) and give WEIGHTS=its folder"
        )
        raise StudyError(f"{published.url} cannot be had ({error}): {remedy}") from error


def keep(answer: HTTPResponse, file: Path, begin: int) -> None:
    """Write what a server sends, after the first ``begin`` bytes of ``file``; :class:`OSError` where it sends less than it promised."""
    total = begin + answer.length if answer.length is not None else None
    with file.open("ab" if begin else "wb") as target, tqdm(total=total, initial=begin, unit="B", unit_scale=True, desc=file.name) as bar:
        while piece := answer.read(PIECE):
            target.write(piece)
            bar.update(len(piece))
    if answer.length:
        raise OSError(f"it ended {answer.length:,} bytes too early")


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


def unpacked(published: Published, file: Path, made: Path) -> None:
    """What is made of a published file, in the folder ``made``; :class:`StudyError` where it is damaged, or other than it should be."""
    try:
        published.place(file, made)
    except DAMAGED as error:
        raise StudyError(f"damaged, or not what is published ({error or type(error).__name__})") from error
    if lacking := absent(made, published.gives):
        raise StudyError(f"it holds no {' and no '.join(lacking)}")
    if published.photographs is not None:
        there = [path for name in published.gives for path in sorted((made / name).rglob("*.JPEG"))]
        if len(there) != published.photographs:
            raise StudyError(f"it holds {len(there):,} photographs, {published.photographs:,} are published")
        if other := next((path for path in there if not is_photograph(path)), None):
            raise StudyError(f"in it {other.name} is no photograph")


def is_photograph(path: Path) -> bool:
    """Whether a JPEG can be decoded to its end."""
    try:
        with Image.open(path, formats=("JPEG",)) as picture:
            picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises for what is none
        return False
    return True


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
