"""Same seed, same bytes: generators made from (seed, name of the work), and the settings that keep a rerun identical."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from regen_lib import devices, distributed, memory


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


def start(threads: int) -> None:
    """Fix what the bytes of a result depend on: device, thread count, deterministic kernels; meet the stage's other processes.

    Called first in every notebook. On a GPU a few gradients (of pooling and padding) have no deterministic kernel: torch warns.
    Denormals are flushed to zero: on a CPU they slow small networks several-fold and change no printed digit.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    memory.keep_freed()
    torch.set_num_threads(threads)
    device = devices.best()
    devices.use(device)
    distributed.join()
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
    torch.backends.cudnn.allow_tf32 = False  # by default a GPU's float32 convolutions keep ten bits of each factor
    # every value is written before it is read, and filling costs a tenth of the time
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
