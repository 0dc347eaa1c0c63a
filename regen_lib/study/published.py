"""What others publish of what the study of photographs reads, and how it is unpacked. docs/imagenet.md says who publishes what.

torchvision has the address and the MD5 of Imagenette.
"""

import gzip
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL import Image
from safetensors.torch import save
from torchvision.datasets import Imagenette

from regen_lib.core.errors import StudyError
from regen_lib.core.replacing import replace_bytes
from regen_lib.networks import build
from regen_lib.networks.blocks import Task
from regen_lib.weights import load_weights

# what archives raise that are damaged, or none: RuntimeError where one has a password, NotImplementedError where it is packed otherwise
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)
PIECE = 2**20  # bytes copied at a time
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


def absent(raw: Path, names: Iterable[str]) -> list[str]:
    """Those of ``names`` that are not in ``raw``."""
    return [name for name in names if not (raw / name).exists()]


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
