"""CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images of 32 x 32 colour pixels.

From the author's binary version, plain bytes: torchvision takes the Python version, which is pickled, and nothing here is unpickled.
A file is a run of records: one byte for the class, then 32 x 32 bytes each of red, green and blue. The 50,000 are split once, by
seed, into ``train`` and ``validation``; ``test`` is only ever reported on.
"""

import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torchvision.datasets import CIFAR10

from regen_lib.core import processes
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.data.download import check, download_checked
from regen_lib.data.splits import held_out

ARCHIVE = "cifar-10-binary.tar.gz"
URL = CIFAR10.url.replace(CIFAR10.filename, ARCHIVE)  # beside the version that torchvision takes
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"  # as TensorFlow Datasets and others list it
FILES = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32  # bytes


def fetch(raw: Path) -> None:
    """Bring the published archive (170 MB) into ``raw``, where it is not there; it is checked either way.

    Of several processes that come here together the first one fetches, the others wait for it. :class:`StudyError` for a damaged archive,
    and where the server does not answer.
    """
    if processes.rank() == 0:
        bring(raw / ARCHIVE)
    processes.wait()


def bring(path: Path) -> None:
    """Check the archive at ``path``, or download it there: whole or not at all, by renaming what a cut download can go on from."""
    if path.exists():
        check_archive(path)
        return
    partial = path.with_name(f"{path.name}.partial")  # DVC passes over such names
    download_checked(URL, partial, {"sha256": SHA256}, f"put {path.name} into {path.parent}")
    partial.replace(path)


def check_archive(path: Path) -> None:
    """:class:`StudyError` unless the SHA-256 of the archive at ``path`` is the published one."""
    check(path, {"sha256": SHA256}, "delete it and run again")


def read(raw: Path, validation: int, seed: int) -> dict[str, Images]:
    """The splits ``train``, ``validation`` and ``test`` from the archive in ``raw``; the split is drawn from ``seed``."""
    path = raw / ARCHIVE
    if not path.exists():
        raise StudyError(f"{path} is missing: run the images stage (`dvc repro images`) to fetch it")
    check_archive(path)
    with tarfile.open(path) as archive:
        splits = {split: records(archive, names) for split, names in FILES.items()}
    return {**held_out(splits["train"], validation, seed), "test": splits["test"]}


def records(archive: tarfile.TarFile, names: Sequence[str]) -> Images:
    """The images of some of the archive's files, in order."""
    data = b"".join(archive.extractfile(f"cifar-10-batches-bin/{name}").read() for name in names)  # type: ignore[union-attr]
    rows = torch.from_numpy(np.frombuffer(data, np.uint8).copy()).view(-1, RECORD)
    return Images(rows[:, 1:].reshape(-1, *SHAPE), rows[:, 0].long())
