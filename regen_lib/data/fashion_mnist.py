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
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.datasets import FashionMNIST

from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.storage import write_bytes
from regen_lib.data.download import download
from regen_lib.data.splits import held_out

SHA256 = {  # of the published files, whose MD5 sums torchvision lists
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
AUTHORS = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
# gzip time stamps of the published files; Debian strips stamp and name from the headers and keeps the rest
STAMPS = {"train-images": 1504176606, "train-labels": 1504176606, "t10k-images": 1504176627, "t10k-labels": 1504176627}
SYSTEM = Path("/usr/share/datasets/fashion-mnist")
PACKAGE = "dataset-fashion-mnist"
CLASSES = tuple(FashionMNIST.classes)
TIMEOUT = 20  # seconds the authors' server may stay silent: there is another source


def published(name: str, data: bytes) -> bytes:
    """``data`` with the published gzip header where Debian's ``gzip -n`` had stripped it, else as it is."""
    stamp = STAMPS.get(name[:12].rstrip("-"))
    if stamp is None or data[:4] != b"\x1f\x8b\x08\x00":
        return data
    stem = name.removesuffix(".gz")
    return b"\x1f\x8b\x08\x08" + struct.pack("<I", stamp) + data[8:10] + stem.encode() + b"\0" + data[10:]


def check(name: str, data: bytes) -> bytes:
    """``data`` in its published form; :class:`StudyError` unless its SHA-256 is the published one."""
    sums = []
    for form in (data, published(name, data)):
        sums.append(hashlib.sha256(form).hexdigest())
        if sums[-1] == SHA256[name]:
            return form
    raise StudyError(f"{name}: SHA-256 {sums[0]}, published {SHA256[name]}: the file is damaged; delete it and run again")


def from_system(names: Sequence[str]) -> dict[str, bytes]:
    """Debian's installed package."""
    return {name: (SYSTEM / name).read_bytes() for name in names}


def from_authors(names: Sequence[str]) -> dict[str, bytes]:
    """The repository of the data's authors. What was cut is not kept: the files are small, and another source may have them.

    No sum is given here: :func:`fetch` checks what any source has.
    """
    with tempfile.TemporaryDirectory() as work:
        for name in names:
            download(AUTHORS + name, Path(work) / name, f"Debian's package {PACKAGE} is asked next", TIMEOUT)
        return {name: (Path(work) / name).read_bytes() for name in names}


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
    "the authors' repository": from_authors,
    f"Debian's package {PACKAGE}": from_apt,
}


def fetch(raw: Path) -> None:
    """Bring the four published files into ``raw``, from the first source that has them all with the published SHA-256.

    Sources: what is in ``raw`` already, Debian's installed package, the authors' repository, Debian's package from apt.
    :class:`StudyError` for a damaged file in ``raw``, or, with what each source said, where no source has them.
    """
    raw.mkdir(parents=True, exist_ok=True)
    for name in SHA256:
        if (raw / name).exists():
            check(name, (raw / name).read_bytes())
    missing = [name for name in SHA256 if not (raw / name).exists()]
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
