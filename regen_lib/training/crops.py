"""Random crops: what a training sees of an image when it may be moved by a few pixels."""

import torch
from torch import Tensor

from regen_lib.core import processes
from regen_lib.core.devices import memory_format
from regen_lib.core.errors import StudyError


def crops(x: Tensor, padding: int, rng: torch.Generator) -> Tensor:
    """Each image of ``[b, C, H, W]`` padded by ``padding`` pixels of its reflection, and as large a part cut out at random.

    ``x`` is this process's share of a mini-batch; the places are drawn for the whole one. :class:`StudyError` for a margin that the
    images are too small to fill with their reflection.
    """
    if padding >= (side := min(x.shape[2:])):
        most = f"at most {side - 1}" if side > 1 else "None"
        raise StudyError(f"crop {padding} of images {x.shape[2]} x {x.shape[3]}: a margin is their reflection, so give {most}")
    count, side = len(x) * processes.world(), 2 * padding + 1
    top, left = (processes.part(torch.randint(side, (count,), generator=rng)) - padding for _ in range(2))
    rows, columns = (reflected(shift[:, None] + torch.arange(size), size) for shift, size in ((top, x.shape[2]), (left, x.shape[3])))
    image = torch.arange(len(x))[:, None, None]
    cut = x.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return cut.contiguous(memory_format=memory_format())


def reflected(place: Tensor, size: int) -> Tensor:
    """Places outside ``[0, size)``, by less than ``size``, reflected at the first or the last, which is not repeated."""
    place = place.abs()
    return torch.where(place < size, place, 2 * (size - 1) - place)
