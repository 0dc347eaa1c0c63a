"""Random crops: against padding and cutting one image at a time; the same for any number of processes."""

from collections import Counter
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from regen_lib.core import processes
from regen_lib.core.devices import memory_format
from regen_lib.core.images import Images
from regen_lib.training.crops import crops
from regen_lib.training.loop import MiniBatches, fit
from regen_lib.training.recipe import Recipe
from tests.conftest import draw, rng


def cut_out(image: Tensor, padding: int) -> list[Tensor]:
    """Every part that a crop of ``image`` ``[C, H, W]`` can be, by rows."""
    padded = nn.functional.pad(image, [padding] * 4, mode="reflect")
    height, width = image.shape[1:]
    return [padded[:, top : top + height, left : left + width] for top in range(2 * padding + 1) for left in range(2 * padding + 1)]


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 6, 9)])
def test_every_crop_is_one_of_the_padded_image(shape: tuple[int, int, int]) -> None:
    x = draw(40, *shape).to(memory_format=memory_format())
    found = crops(x, 2, rng())
    assert found.is_contiguous(memory_format=memory_format())
    which = []
    for image, crop in zip(x, found, strict=True):
        equal = [index for index, part in enumerate(cut_out(image, 2)) if torch.equal(part, crop)]
        assert len(equal) == 1
        which += equal
    assert len(set(which)) > 15  # of 25


def test_every_place_is_as_likely() -> None:
    image = torch.arange(49.0).view(1, 1, 7, 7)
    counts = Counter(float(value) for value in crops(image.repeat(9000, 1, 1, 1), 1, rng())[:, 0, 3, 3])
    assert sorted(counts) == [16, 17, 18, 23, 24, 25, 30, 31, 32]  # the centre and its neighbours
    assert max(abs(count - 1000) for count in counts.values()) < 120


def test_two_processes_cut_what_one_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    x = draw(10, 3, 8, 8)
    whole = crops(x, 3, rng())
    monkeypatch.setattr(processes, "world", lambda: 2)
    shares = []
    for number in (0, 1):
        monkeypatch.setattr(processes, "rank", lambda number=number: number)
        shares.append(crops(processes.part(x), 3, rng()))
    assert torch.equal(torch.cat(shares), whole)


def epoch(images: Images, crop: int | None) -> tuple[Tensor, Tensor]:
    batches = list(MiniBatches(images, len(images), Recipe(1, 0.1, batch=8, crop=crop), rng()))
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


def test_an_epoch_with_crops_is_mirrored_too() -> None:
    """Each image is a crop of itself or of its mirror image; without ``crop`` it is one of the two."""
    images = Images(draw(24, 1, 8, 8).mul(20).add(100).to(torch.uint8), torch.arange(24))
    for crop, least in ((2, 20), (None, 2)):
        x, y = epoch(images, crop)
        assert sorted(y.tolist()) == list(range(24))
        seen = set()
        for image, label in zip(x, y, strict=True):
            whole = images.pixels[label].float()
            parts = [part for way in (whole, whole.flip(2)) for part in cut_out(way, crop or 0)]
            seen |= {next(index for index, part in enumerate(parts) if torch.equal(part, image))}
        assert len(seen) >= least


def test_training_with_crops_is_reproducible(images: Images, network: nn.Module) -> None:
    """The same losses twice; others than without crops, whose own are as they were."""
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    def losses(**recipe: int | None) -> list[float]:
        network.load_state_dict(state)
        return fit(network, [network], images, Recipe(2, 0.01, batch=16, **recipe), seed=0, name="crops")

    cropped = partial(losses, crop=2)
    assert cropped() == cropped() != losses() == losses(crop=None)
