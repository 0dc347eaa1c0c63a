"""What a process of the study sets up before it computes: device, threads, deterministic kernels, memory that is kept."""

import ctypes
import os

import torch

from regen_lib.core import devices, processes
from regen_lib.core.environment import TF32
from regen_lib.core.options import Count, check_given


def start(threads: Count) -> None:
    """Fix what the bytes of a result depend on: device, thread count, deterministic kernels; join the stage's other processes.

    Called first in every notebook. On a GPU a few gradients (of pooling and padding) have no deterministic kernel: torch warns.
    Denormals are flushed to zero: on a CPU they slow small networks several-fold and change no printed digit. :class:`StudyError` for
    what is no number of threads.
    """
    check_given(start, {"threads": threads})
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    keep_freed()
    torch.set_num_threads(threads)
    device = devices.best()
    devices.use(device)
    processes.join()
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = os.environ.get(TF32) == "1"
    # every value is written before it is read, and filling costs a tenth of the time
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt's numbers for its parameters
KEPT = 2**31 - 1  # bytes that may lie free before some are given back: the most that mallopt takes
MAPPED = 2**30  # bytes from which a block is the system's own and goes back to it when freed


def keep_freed() -> None:
    """From here on this process keeps up to 2 GiB of what it frees, instead of asking the system for new pages."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(TRIM_THRESHOLD, KEPT)
        mallopt(MMAP_THRESHOLD, MAPPED)
