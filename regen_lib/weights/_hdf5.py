"""HDF5 files of anybody: what is read are numbers that lie in the file itself, and no more of them than asked for."""

from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from regen_lib.core.extras import need

MOST_REFERENCES = 10_000  # of a cell: networks have some hundred layers


class Hdf5:
    """A reader of one file, which gives at most ``most`` bytes in all; :class:`ValueError` for everything that it does not read."""

    def __init__(self, path: Path, most: int) -> None:
        self.h5py = need("h5py", what=f"reading {path.suffix} files", package="h5py", extra="weights")
        self.file, self.left = self.h5py.File(path), most

    def __enter__(self) -> "Hdf5":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def keys(self, group: Any) -> list[str]:
        """The keys of a group. h5py's own ``in`` and ``get`` would look behind a link, which may name any file."""
        if not isinstance(group, self.h5py.Group):
            raise ValueError("expected a group of arrays")
        return list(group)

    def get(self, group: Any, key: str) -> Any:
        """What ``group`` itself has under ``key``."""
        if group.id.links.get_info(key.encode()).type != self.h5py.h5l.TYPE_HARD:
            raise ValueError(f"{key} is a link to another place")
        return group[key]

    def numbers(self, dataset: Any, kinds: str = "fiu") -> np.ndarray:
        """All values of ``dataset``, if they are numbers of one of NumPy's ``kinds``."""
        self.check(dataset)
        if dataset.dtype.kind not in kinds:
            raise ValueError(f"values of type {str(dataset.dtype)[:20]}, expected numbers")
        self.left -= dataset.nbytes
        return np.array(dataset[()])

    def references(self, dataset: Any) -> list[Any]:
        """What the references of a cell refer to."""
        self.check(dataset)
        if self.h5py.check_ref_dtype(dataset.dtype) is not self.h5py.Reference or dataset.size > MOST_REFERENCES:
            raise ValueError(f"expected at most {MOST_REFERENCES:,} references")
        return [self.file[reference] for reference in dataset[()].ravel()]

    def check(self, dataset: Any) -> None:
        """Refuse what lies in other files, and what is larger than it may be, or becomes so on the way."""
        if not isinstance(dataset, self.h5py.Dataset) or dataset.shape is None:
            raise ValueError("expected an array")
        if dataset.external or dataset.is_virtual:
            raise ValueError("an array that lies in other files")
        size = max(prod(dataset.shape), prod(dataset.chunks or ())) * dataset.dtype.itemsize  # a chunk is decoded whole
        if size > self.left:
            raise ValueError(f"{size:,} bytes, expected at most {self.left:,}")
        made = dataset.id.get_create_plist()
        filters = [made.get_filter(index)[0] for index in range(made.get_nfilters())]
        if len(filters) > len(set(filters)):
            raise ValueError("an array compressed more than once")
