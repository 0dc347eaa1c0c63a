"""Images as the study keeps them: uint8 pixels in 0-255 and their labels."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from regen_lib.artifacts import read_tensors, write_tensors
from regen_lib.errors import StudyError
from regen_lib.networks.blocks import Task


@dataclass(frozen=True)
class Images:
    """``pixels`` uint8 ``[N, C, H, W]`` in 0-255 and ``labels`` int64 ``[N]``."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "Images":
        """The first ``count`` images; :class:`StudyError` where there are fewer."""
        if count > len(self):
            raise StudyError(f"{count} images asked for, {len(self)} are there: ask for at most {len(self)}")
        return Images(self.pixels[:count], self.labels[:count])


def as_input(pixels: Tensor) -> Tensor:
    """Pixels as every network here takes them: float32, 0-255, ``channels_last``."""
    return pixels.to(torch.float32, memory_format=torch.channels_last)


def describe(images: Images, classes: int = 10) -> Task:
    """What a network for these images needs: shape, number of classes, mean and deviation of the pixels (0-255)."""
    pixels = images.pixels.double()
    shape = pixels.shape[1], pixels.shape[2], pixels.shape[3]
    mean, std = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))
    return Task(shape, classes, tuple(mean.tolist()), tuple(std.tolist()))


def save_images(path: Path, splits: dict[str, Images]) -> None:
    """Write the splits of a data set."""
    tensors = {f"{name}.{part}": getattr(images, part) for name, images in splits.items() for part in ("pixels", "labels")}
    write_tensors(path, "images", tensors)


def load_images(path: Path) -> dict[str, Images]:
    """Read the splits of a data set."""
    tensors, _ = read_tensors(path, "images")
    names = sorted({key.split(".")[0] for key in tensors})
    return {name: Images(tensors[f"{name}.pixels"], tensors[f"{name}.labels"]) for name in names}
