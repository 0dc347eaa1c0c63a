"""A stream of the images of a tree: the classes and the listing of the decoded set, crops, bad files, looking ahead."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images, load_images, save_images
from regen_lib.data.image_file import Form, decode
from regen_lib.data.listing import listing
from regen_lib.data.sources import training_images
from regen_lib.data.stream import Streamed
from regen_lib.training.loop import fit
from regen_lib.training.recipe import Recipe
from tests.trees import digest, make_tree, prepared


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "raw")


@pytest.mark.parametrize("order", [["n02", "n01", "n03"], ["n00", "n01", "n02", "n03"]])
def test_the_stream_has_the_classes_of_the_decoded_set_and_none_of_its_other_splits(raw: Path, tmp_path: Path, order: list[str]) -> None:
    (raw / "classes.json").write_text(json.dumps([[name, name] for name in order]))
    target, _ = prepared(raw, tmp_path, classes="classes.json", counts={"train": 3, "test": 6})
    splits, stream = load_images(target), training_images(target, True)
    assert len(stream) == 15 - 3 - 6
    centre = [decode(path, Form())[0] for path in stream.found.files]
    seen = {digest(image): label for image, label in zip(centre, stream.labels.tolist(), strict=True)}
    kept = {
        name: {digest(image): label for image, label in zip(split.pixels, split.labels.tolist(), strict=True)}
        for name, split in splits.items()
    }
    assert kept["train"].items() <= seen.items()
    assert not (kept["validation"].keys() | kept["test"].keys()) & seen.keys()
    assert all(order[label] == path.parent.name for path, label in zip(stream.found.files, stream.labels.tolist(), strict=True))


def test_no_stream_of_what_was_no_folder(tmp_path: Path) -> None:
    save_images(
        tmp_path / "x.safetensors", {"train": Images(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))}
    )
    with pytest.raises(StudyError, match=r"was not decoded from a folder of images: set training\.stream to false"):
        training_images(tmp_path / "x.safetensors", True)


def test_streamed_crops_are_parts_of_the_image(raw: Path) -> None:
    stream = Streamed(listing(raw / "all"))
    ((x, labels),) = stream.batches([torch.tensor([0, 7, 14])], torch.Generator().manual_seed(1))
    assert (x.shape, labels.tolist(), len(stream.first(4))) == ((3, 3, 224, 224), [0, 1, 2], 4)
    for row, index in zip(x, (0, 7, 14), strict=True):
        image, _ = decode(stream.found.files[index], Form())
        assert any(holds(image, cut) for cut in (row, row.flip(2)))
    with pytest.raises(StudyError, match="16 images asked for"):
        stream.first(16)


def holds(image: Tensor, cut: Tensor) -> bool:
    """Whether ``cut`` is a part of ``image``, at a place where its first few pixels are."""
    few = image.unfold(1, 4, 1).unfold(2, 4, 1) == cut[:, None, None, :4, :4]
    places = few.all(-1).all(-1).all(0).nonzero().tolist()
    return any(torch.equal(image[:, top : top + 224, left : left + 224].float(), cut) for top, left in places)


def test_streams_decode_ahead(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a batch is worked on the next two are decoded, no more; what comes is what comes without looking ahead."""
    stream, chunks = Streamed(listing(raw / "all")), list(torch.randperm(15, generator=torch.Generator().manual_seed(2)).split(3))
    plain = [next(stream.batches([chunk], rng)) for rng in [torch.Generator().manual_seed(1)] for chunk in chunks]
    asked, started = [], stream.pool.map

    def ask(work: Callable[..., tuple[Tensor, int]], files: list[int], draws: list[list[float]]) -> Iterator[tuple[Tensor, int]]:
        asked.append(len(files))
        return started(work, files, draws)

    monkeypatch.setattr(stream.pool, "map", ask)
    for index, (x, labels) in enumerate(stream.batches(chunks, torch.Generator().manual_seed(1))):
        assert len(asked) == min(index + 3, 5)
        assert torch.equal(x, plain[index][0])
        assert torch.equal(labels, plain[index][1])


def test_a_streams_bad_files(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first of another class, the last: the next one takes its place, with its own label; each is named once."""
    for name in ("n01/00.JPEG", "n03/14.JPEG"):
        (raw / "all" / name).write_bytes(b"no image")
    with pytest.raises(StudyError, match=r"00\.JPEG cannot be decoded"):
        list(Streamed(listing(raw / "all")).batches([torch.tensor([0])], torch.Generator()))
    stream = Streamed(listing(raw / "all"), drop=True)
    for _ in range(2):
        ((x, labels),) = stream.batches([torch.tensor([0, 4, 5, 14])], torch.Generator())
        assert (len(x), labels.tolist()) == (4, [0, 0, 1, 0])
    assert capsys.readouterr().out.count("cannot be decoded") == 2
    nothing = Streamed(stream.found.pick([0, 14]), drop=True)
    with pytest.raises(StudyError, match="none of 2 images"):
        list(nothing.batches([torch.tensor([0])], torch.Generator()))


def test_a_stream_can_be_trained_on(raw: Path) -> None:
    stream = Streamed(listing(raw / "all"))
    network = nn.Sequential(nn.AvgPool2d(32), nn.Flatten(), nn.Linear(3 * 49, 3))
    before = network[2].weight.clone()
    assert len(fit(network, [network], stream, Recipe(1, 1e-4, batch=5), seed=0, name="stream")) == 1
    assert not torch.equal(network[2].weight, before)
    assert stream.pixels.shape == (4, 3, 224, 224)
    assert stream.pixels.dtype == torch.uint8
