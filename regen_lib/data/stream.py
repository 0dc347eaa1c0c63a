"""The images of a folder as a stream to train on: each decoded, cut out and mirrored at random when its turn comes."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import center_crop

from regen_lib.core import processes
from regen_lib.core.errors import StudyError
from regen_lib.core.images import as_input
from regen_lib.core.options import Natural, check_value
from regen_lib.core.storage import read_tensors
from regen_lib.data.image_file import WORKERS, Form, UndecodableError, decode
from regen_lib.data.image_folder import ImageFolder
from regen_lib.data.listing import Listing

AHEAD = 2  # batches
SAMPLE = 4  # images


class Streamed:
    """Images for training. ``drop``: where one cannot be decoded, it is named and the next one takes its place; else that is an error."""

    def __init__(self, found: Listing, form: Form | None = None, *, drop: bool = False) -> None:
        self.found, self.form, self.drop = found, form or Form(), drop
        self.labels = torch.tensor(found.classes)
        self.bad: set[int] = set()
        self.pool = ThreadPoolExecutor(WORKERS)

    def __len__(self) -> int:
        return len(self.found)

    @property
    def pixels(self) -> Tensor:
        """The first few images, uint8 ``[n, 3, crop, crop]``, their centres: what a training looks at before it begins."""
        return torch.stack([center_crop(self.image(index)[0], [self.form.crop, self.form.crop]) for index in range(min(SAMPLE, len(self)))])

    def first(self, count: int) -> "Streamed":
        """The first ``count`` images; :class:`StudyError` where there are fewer, and for what is no number of images."""
        check_value("images", "count", count, Natural)
        if count > len(self):
            raise StudyError(f"{count} images asked for, {len(self)} are there: ask for at most {len(self)}")
        return Streamed(self.found.pick(range(count)), self.form, drop=self.drop)

    def image(self, index: int) -> tuple[Tensor, int]:
        """An image at its size, and its class; of the next that can be decoded, where this one cannot and may be dropped."""
        for place in (*range(index, len(self)), *range(index)):
            try:
                return decode(self.found.files[place], self.form)[0], self.found.classes[place]
            except UndecodableError as error:
                if not self.drop:
                    raise
                if place not in self.bad:
                    self.bad.add(place)
                    print(error)
        raise StudyError(f"none of {len(self)} images can be decoded: is it the right folder?")

    def batches(self, chunks: Iterable[Tensor], rng: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Network input and labels, as :meth:`regen_lib.core.images.Images.batches`.

        While one batch is worked on, the next ``AHEAD`` are being decoded.
        """
        waiting: deque[Iterator[tuple[Tensor, int]]] = deque()
        for index in chunks:
            draws = processes.part(torch.rand(len(index), 3, generator=rng))
            waiting.append(self.pool.map(self.random_crop, processes.part(index).tolist(), draws.tolist()))
            if len(waiting) > AHEAD:
                yield finished(waiting.popleft())
        while waiting:
            yield finished(waiting.popleft())

    def random_crop(self, index: int, draws: Sequence[float]) -> tuple[Tensor, int]:
        """An image as uint8 ``[3, crop, crop]``, cut out where two of the three ``draws`` in [0, 1) say, mirrored where the third
        does; and its class."""
        pixels, label = self.image(index)
        top, left = (int(draw * (side - self.form.crop + 1)) for draw, side in zip(draws, pixels.shape[1:], strict=False))
        cut = pixels[:, top : top + self.form.crop, left : left + self.form.crop]
        return cut.flip(2) if draws[2] < 0.5 else cut, label


def finished(images: Iterator[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    """A batch whose images have been decoded, or are waited for."""
    cut, labels = zip(*images, strict=True)
    return as_input(torch.stack(cut)), torch.tensor(labels)


def streamed(path: Path) -> Streamed:
    """The images to train on of the folder that ``path`` was decoded from: what is in its split ``train``, and all others of that tree
    that are in no other split. Classes and their order are those of ``path``.

    :class:`StudyError` where ``path`` was not decoded from a folder, or where other images are there now.
    """
    _, metadata = read_tensors(path, "images")
    if "source" not in metadata:
        raise StudyError(f"{path} was not decoded from a folder of images: set training.stream to false")
    source = ImageFolder.read(metadata["source"])
    found = source.plan()["stream"]
    if found.hash() != metadata["stream"]:
        raise StudyError(f"{source.raw} has other images than those that {path} was made of: run the stage images again")
    return Streamed(found, source.form, drop=source.unreadable == "drop")
