"""What is freed is kept, and results of gigabytes lie in huge pages: asked of the system, in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from regen_lib import memory

GNU_LINUX = sys.platform == "linux" and hasattr(memory.ctypes.CDLL(None), "mallopt")
FAULTS = """
import resource, sys, torch
from regen_lib.reproducible import start
if sys.argv[1] == "kept":
    start(1)
def faults(blocks):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(blocks):
        torch.ones(2**24)  # 64 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(3)
print(faults(5))
"""


@pytest.mark.skipif(not GNU_LINUX, reason="freed memory is kept by the GNU C library on Linux only")
def test_freed_memory_comes_back_without_new_pages() -> None:
    command = [sys.executable, "-c", FAULTS]
    given_back, kept = (int(subprocess.check_output([*command, how], text=True)) for how in ("given back", "kept"))
    assert kept < 100 < given_back


@pytest.mark.parametrize("shape", [(3, 5), (700, 1000), (0, 4)])
def test_an_empty_result_is_a_tensor_like_any_other(shape: tuple[int, int]) -> None:
    made = memory.empty(*shape)
    assert made.shape == shape
    assert made.dtype is torch.float32
    assert made.is_contiguous()
    assert torch.equal(made.fill_(3), torch.full(shape, 3.0))


@pytest.mark.skipif(not Path("/sys/kernel/mm/transparent_hugepage").is_dir(), reason="this system has no huge pages to ask for")
def test_large_results_ask_for_huge_pages() -> None:
    made = memory.empty(3 * memory.HUGE)
    for mapping in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text()):
        first, last = (int(end, 16) for end in mapping.split(maxsplit=1)[0].split("-"))
        if first <= made.data_ptr() < last:
            flags = mapping.split("VmFlags:")[1].split()
            assert "hg" in flags  # the kernel's word for: huge pages advised
            return
    pytest.fail("the tensor lies in no mapping")
