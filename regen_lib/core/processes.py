"""Many processes at work on one stage: torchrun starts them, and each runs the stage's notebook from top to bottom.

Two ways to share work. Whole pieces (:func:`jobs`: a bank for one network by one attack): each process takes every n-th and
writes its results itself. Parts of a batch (:func:`part`, :func:`gathered`): every process does everything, on its share of
the images, and the first one writes. Random numbers are drawn for the whole batch by every process alike, so that what comes
out does not depend on how many there are.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from regen_lib.core.errors import StudyError

T = TypeVar("T")
TORCHRUN = ("RANK", "MASTER_ADDR", "MASTER_PORT")  # what a process must be told beside WORLD_SIZE
_alone = False  # inside a job: no other process takes part


def join() -> None:
    """Join the process group, where torchrun has started several processes; otherwise nothing happens.

    :class:`StudyError` where the variables that torchrun sets are there in part, left over from another job.
    """
    size = os.environ.get("WORLD_SIZE", "1")
    if not size.isdecimal():
        raise StudyError(f"WORLD_SIZE is {size!r}, no number of processes: unset it, or start with torchrun, which sets it")
    if int(size) > 1 and not dist.is_initialized():
        if missing := [name for name in TORCHRUN if name not in os.environ]:
            raise StudyError(f"WORLD_SIZE is {size}, but {', '.join(missing)} is not set: unset it, or start with torchrun, which sets all")
        dist.init_process_group("nccl" if torch.get_default_device().type == "cuda" else "gloo")


def world() -> int:
    """How many processes share the work at hand."""
    return dist.get_world_size() if dist.is_initialized() and not _alone else 1


def rank() -> int:
    """Which of them this one is."""
    return dist.get_rank() if world() > 1 else 0


def wait() -> None:
    """Return once every process has called this: a barrier."""
    if world() > 1:
        dist.barrier()


def jobs(items: Iterable[T]) -> Iterator[T]:
    """Every n-th of ``items``, each to be finished, written results included, by this process alone; then all wait for all."""
    global _alone
    if world() == 1:
        yield from items
        return
    for item in list(items)[rank() :: world()]:
        _alone = True
        try:
            yield item
        finally:
            _alone = False
    wait()


def part(batch: Tensor) -> Tensor:
    """This process's share of ``batch`` ``[N, ...]``: the first N mod n processes take one more than the others."""
    return batch if world() == 1 else batch.tensor_split(world())[rank()]


def gathered(share: Tensor, total: int) -> Tensor:
    """The opposite of :func:`part`: all ``total`` rows from every process's share, in order, on every process."""
    if world() == 1:
        return share
    sizes = [len(rows) for rows in torch.arange(total).tensor_split(world())]
    padded = share.new_zeros(max(sizes), *share.shape[1:])
    padded[: len(share)] = share
    found = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(found, padded)
    return torch.cat([rows[:size] for rows, size in zip(found, sizes, strict=True)])


def mean(value: float) -> float:
    """The mean of each process's ``value``."""
    if world() == 1:
        return value
    total = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(total)
    return float(total) / world()


def check_batch(batch: int) -> None:
    """:class:`StudyError` unless the processes can share a batch of that size evenly: the mean of their means is then the mean."""
    if batch % world():
        raise StudyError(f"batch of {batch} for {world()} processes: choose a multiple of {world()}")


class Step(nn.Module):
    """An objective with the parts that it trains, as the module that ``DistributedDataParallel`` asks for."""

    def __init__(self, trainable: Sequence[nn.Module], objective: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.trainable, self.objective = nn.ModuleList(trainable), objective

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.objective(x, y)


def averaged(trainable: Sequence[nn.Module], objective: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """``objective`` with gradients for ``trainable`` that are means over all processes."""
    return objective if world() == 1 else DistributedDataParallel(Step(trainable, objective), broadcast_buffers=False)
