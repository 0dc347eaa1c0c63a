"""Where the images come from.

Fashion-MNIST (Xiao, Rasul, Vollgraf 2017; MIT licence): 60,000 training and 10,000 test images of 28 x 28 grey pixels.
The 60,000 are split once, by seed, into ``train`` (bank and training) and ``validation`` (test perturbations, tuning);
``test`` is only ever reported on.
"""

import gzip
import hashlib
import struct
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.datasets import FashionMNIST

from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.progress import tqdm
from regen_lib.core.storage import write_bytes
from regen_lib.data.splits import held_out

MD5 = dict(FashionMNIST.resources)  # the published sums, as torchvision lists them
# gzip time stamps of the published files; Debian strips stamp and name from the headers and keeps the rest
STAMPS = {"train-images": 1504176606, "train-labels": 1504176606, "t10k-images": 1504176627, "t10k-labels": 1504176627}
SYSTEM = Path("/usr/share/datasets/fashion-mnist")
PACKAGE = "dataset-fashion-mnist"
CLASSES = tuple(FashionMNIST.classes)
TIMEOUT = 20  # seconds a mirror may stay silent


def published(name: str, data: bytes) -> bytes:
    """``data`` with the published gzip header where Debian's ``gzip -n`` had stripped it, else as it is."""
    stamp = STAMPS.get(name[:12].rstrip("-"))
    if stamp is None or data[:4] != b"\x1f\x8b\x08\x00":
        return data
    stem = name.removesuffix(".gz")
    return b"\x1f\x8b\x08\x08" + struct.pack("<I", stamp) + data[8:10] + stem.encode() + b"\0" + data[10:]


def check(name: str, data: bytes) -> bytes:
    """``data`` in its published form; :class:`StudyError` unless its MD5 is the published one."""
    sums = []
    for form in (data, published(name, data)):
        sums.append(hashlib.md5(form, usedforsecurity=False).hexdigest())
        if sums[-1] == MD5[name]:
            return form
    raise StudyError(f"{name}: MD5 {sums[0]}, published {MD5[name]}: the file is damaged; delete it and run again")


def from_system(names: Sequence[str]) -> dict[str, bytes]:
    """Debian's installed package."""
    return {name: (SYSTEM / name).read_bytes() for name in names}


def from_mirrors(names: Sequence[str]) -> dict[str, bytes]:
    """torchvision's mirrors, the first that answers."""
    for mirror in FashionMNIST.mirrors:
        try:
            return {name: urllib.request.urlopen(mirror + name, timeout=TIMEOUT).read() for name in tqdm(names, desc=mirror)}
        except OSError:
            continue
    raise OSError("none answered")


def from_apt(names: Sequence[str]) -> dict[str, bytes]:
    """Debian's package, downloaded and unpacked without root; apt's lists go to a folder of their own."""
    with tempfile.TemporaryDirectory() as work:
        apt = ["apt-get", "-o", f"Dir::State::Lists={work}/lists"]
        (Path(work) / "lists" / "partial").mkdir(parents=True)
        for command in ([*apt, "update"], [*apt, "download", PACKAGE]):
            subprocess.run(command, cwd=work, check=True, capture_output=True, timeout=300)
        subprocess.run(["dpkg", "-x", next(Path(work).glob("*.deb")), work], check=True, capture_output=True, timeout=60)
        return {name: (work / SYSTEM.relative_to("/") / name).read_bytes() for name in names}


SOURCES: dict[str, Callable[[Sequence[str]], dict[str, bytes]]] = {
    str(SYSTEM): from_system,
    "torchvision's mirrors": from_mirrors,
    f"Debian's package {PACKAGE}": from_apt,
}


def fetch(raw: Path) -> None:
    """Bring the four published files into ``raw``, from the first source that has them all with the published MD5.

    Sources: what is in ``raw`` already, Debian's installed package, torchvision's mirrors, Debian's package from apt.
    :class:`StudyError` for a damaged file in ``raw``, or, with what each source said, where no source has them.
    """
    raw.mkdir(parents=True, exist_ok=True)
    for name in MD5:
        if (raw / name).exists():
            check(name, (raw / name).read_bytes())
    missing = [name for name in MD5 if not (raw / name).exists()]
    said = []
    for source, read in SOURCES.items() if missing else ():
        try:
            files = {name: check(name, data) for name, data in read(missing).items()}
        except (OSError, subprocess.SubprocessError, StudyError) as error:
            said.append(f"{source}: {error}")
            continue
        for name, data in files.items():
            write_bytes(raw / name, data)
        return
    if missing:
        raise StudyError(f"no source has {', '.join(missing)}: put the published files into {raw}. Tried: " + "; ".join(said))


def read_idx(path: Path) -> Tensor:
    """A gzipped IDX file as a uint8 tensor; :class:`StudyError` where the file is missing or damaged."""
    if not path.exists():
        raise StudyError(f"{path} is missing: run the images stage (`dvc repro images`) to fetch it")
    data = gzip.decompress(check(path.name, path.read_bytes()))
    dimensions = data[3]
    shape = struct.unpack(f">{dimensions}I", data[4 : 4 + 4 * dimensions])
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).copy()).view(shape)


def read(raw: Path, validation: int, seed: int) -> dict[str, Images]:
    """The splits ``train``, ``validation`` and ``test`` from the files in ``raw``; the split is drawn from ``seed``."""
    whole, test = (
        Images(read_idx(raw / f"{file}-images-idx3-ubyte.gz")[:, None], read_idx(raw / f"{file}-labels-idx1-ubyte.gz").long())
        for file in ("train", "t10k")
    )
    return {**held_out(whole, validation, seed), "test": test}
