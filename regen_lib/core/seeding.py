"""Same seed, same draws: generators made from (seed, name of the work)."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def generator(seed: int, *names: object) -> torch.Generator:
    """A CPU generator seeded by ``seed`` and the name of the work, so that no work's draws depend on another's."""
    digest = hashlib.sha256(repr((seed, *map(str, names))).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


@contextmanager
def dropout_from(rng: torch.Generator) -> Iterator[None]:
    """Dropout can only draw from torch's global generator: within, that one is seeded from ``rng``; afterwards it is as before."""
    device = torch.get_default_device()
    with torch.random.fork_rng(devices=[device.index] if device.type == "cuda" else []):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=rng)))
        yield
