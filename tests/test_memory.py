"""What is freed is kept: asked of the system, in processes of their own."""

import ctypes
import subprocess
import sys

import pytest

GNU_LINUX = sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt")
FAULTS = """
import resource, sys, torch
from regen_lib.core.runtime import start
if sys.argv[1] == "kept":
    start(1)
def faults(blocks):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(blocks):
        torch.ones(2**24)  # 64 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(3)
print(faults(20))
"""


@pytest.mark.skipif(not GNU_LINUX, reason="freed memory is kept by the GNU C library on Linux only")
def test_freed_memory_comes_back_without_new_pages() -> None:
    command = [sys.executable, "-c", FAULTS]
    given_back, kept = (int(subprocess.check_output([*command, how], text=True)) for how in ("given back", "kept"))
    assert kept < given_back / 5  # where the heap begins is chance: a block or two may still be new
