"""Same seed, same bytes: generators made from (seed, name of the work), and the settings that keep a rerun identical."""

import hashlib
import os

import torch


def generator(seed: int, *names: object) -> torch.Generator:
    """A CPU generator seeded by ``seed`` and the name of the work, so that no work's draws depend on another's."""
    digest = hashlib.sha256(repr((seed, *map(str, names))).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def start(threads: int) -> None:
    """Fix what the bytes of a result depend on: thread count and deterministic kernels. Called first in every notebook.

    Denormals are flushed to zero: on a CPU they slow small networks several-fold and change no printed digit.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True)
    # every value is written before it is read, and filling costs a tenth of the time
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
