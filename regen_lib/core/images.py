"""Images as the study keeps them: uint8 pixels in 0-255 and their labels."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from regen_lib.core import processes
from regen_lib.core.devices import memory_format
from regen_lib.core.errors import StudyError
from regen_lib.core.options import Natural, check_value
from regen_lib.core.storage import opened, write_tensors

SMALL = 32 * 32  # pixels


@dataclass(frozen=True)
class Images:
    """``pixels`` uint8 ``[N, C, H, W]`` in 0-255, always in the CPU's memory, and ``labels`` int64 ``[N]``."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    def first(self, count: int) -> "Images":
        """The first ``count`` images; :class:`StudyError` where there are fewer, and for what is no number of images."""
        check_value("images", "count", count, Natural)
        if count > len(self):
            raise StudyError(f"{count} images asked for, {len(self)} are there: ask for at most {len(self)}")
        return Images(self.pixels[:count], self.labels[:count])

    def batch(self, index: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Network input for training, and labels: the images of ``index``, each mirrored with probability 1/2.

        Several processes get a share of the batch each.
        """
        mirrored = torch.rand(len(index), generator=rng) < 0.5
        index, mirrored = processes.part(index), processes.part(mirrored)
        x = self.pixels[index.cpu()]
        return as_input(torch.where(mirrored.cpu().view(-1, 1, 1, 1), x.flip(3), x)), self.labels[index]

    def batches(self, chunks: Iterable[Tensor], rng: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One batch after the other, of the images that each of ``chunks`` lists."""
        return (self.batch(index, rng) for index in chunks)


def as_input(pixels: Tensor, *index: Tensor | int) -> Tensor:
    """Pixels, all or those of ``index``, as every network here takes them: float32, 0-255, in the study's memory format, on the device."""
    if index:
        pixels = pixels[tuple(i.cpu() if isinstance(i, Tensor) else i for i in index)]
    moved = pixels.to(torch.get_default_device())  # bytes travel to a GPU faster than floats
    return moved.to(torch.float32, memory_format=memory_format())


def batch_size(pixels: Tensor, most: int) -> int:
    """How many of these images ``[N, C, H, W]`` to send through a network at once: ``most``.

    On a CPU, of images larger than 32 x 32 in proportion fewer: their activations should stay in the cache, and in memory that
    the process keeps (at 224 x 224 that halved the time).
    """
    if torch.get_default_device().type != "cpu":
        return most
    return max(1, most * SMALL // max(SMALL, pixels.shape[2] * pixels.shape[3]))


def save_images(path: Path, splits: dict[str, Images], classes: Sequence[str] = ()) -> None:
    """Write the splits of a data set, and what its classes are called."""
    tensors = {f"{name}.{part}": getattr(images, part) for name, images in splits.items() for part in ("pixels", "labels")}
    write_tensors(path, "images", tensors, classes=list(classes))


def load_images(path: Path) -> dict[str, Images]:
    """Read the splits of a data set; :class:`StudyError` for a damaged file, or one that holds anything else."""
    device = torch.get_default_device()
    with opened(path, "images") as (tensors, _):
        names = sorted({key.split(".")[0] for key in tensors})
        if not names or len(tensors) != 2 * len(names):
            raise StudyError(f"it holds {', '.join(sorted(tensors)) or 'nothing'}: expected pixels and labels of each split")
        return {name: split(tensors[f"{name}.pixels"], tensors[f"{name}.labels"], device) for name in names}


def class_names(path: Path) -> tuple[str, ...]:
    """What the classes of a data set are called, in the order of labels: their numbers where it does not say."""
    with opened(path, "images") as (tensors, metadata):
        count = 1 + max(int(labels.max()) for key, labels in tensors.items() if key.endswith(".labels"))
        return tuple(map(str, metadata.get("classes") or range(count)))


def split(pixels: Tensor, labels: Tensor, device: torch.device) -> Images:
    """One split as it was kept, its labels on ``device``; :class:`StudyError` for other types or shapes."""
    right = pixels.ndim == 4 and pixels.dtype == torch.uint8 and labels.shape == pixels.shape[:1] and labels.dtype == torch.int64
    if not right or bool((labels < 0).any()):
        raise StudyError("a split is not uint8 pixels [N, C, H, W] with int64 labels [N], none negative")
    return Images(pixels, labels.to(device))
