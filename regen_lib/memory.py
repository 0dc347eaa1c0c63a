"""The CPU's memory: what is freed is kept for the next tensor.

A training step frees and asks for the same hundred megabytes again. Given back to the system each time, they come back as new
pages, 4 KiB at a time, which costs up to a quarter of the step. Linux with the GNU C library only: elsewhere nothing changes.
"""

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt's numbers for its parameters
KEPT = 2**31 - 1  # bytes that may lie free before some are given back: the most that mallopt takes
MAPPED = 2**30  # bytes from which a block is the system's own and goes back to it when freed


def keep_freed() -> None:
    """From here on this process keeps up to 2 GiB of what it frees, instead of asking the system for new pages."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(TRIM_THRESHOLD, KEPT)
        mallopt(MMAP_THRESHOLD, MAPPED)
