"""Same seed, same draws: generators made from (seed, name of the work)."""

import hashlib
import operator
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import SupportsIndex

import torch

from regen_lib.core.errors import StudyError
from regen_lib.core.options import shown


def whole(seed: SupportsIndex) -> int:
    """``seed`` as the int that it stands for, NumPy's and torch's whole numbers too; :class:`StudyError` for anything else.

    Draws follow from how a seed is written, and NumPy writes its own as ``np.int64(0)``.
    """
    truth = isinstance(seed, bool) or getattr(seed, "dtype", None) == torch.bool
    with suppress(TypeError, ValueError, RuntimeError):
        if not truth:
            return operator.index(seed)
    raise StudyError(f"seed is {shown(seed)}: give a whole number")


def generator(seed: SupportsIndex, *names: object) -> torch.Generator:
    """A CPU generator seeded by ``seed`` and the name of the work, so that no work's draws depend on another's.

    :class:`StudyError` for a seed that is no whole number.
    """
    digest = hashlib.sha256(repr((whole(seed), *map(str, names))).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


@contextmanager
def dropout_from(rng: torch.Generator) -> Iterator[None]:
    """Dropout can only draw from torch's global generator: within, that one is seeded from ``rng``; afterwards it is as before."""
    device = torch.get_default_device()
    with torch.random.fork_rng(devices=[device.index] if device.type == "cuda" else []):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=rng)))
        yield
