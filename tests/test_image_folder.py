"""JPEG trees: decoding, splits, resuming, what is wrong with files; against torchvision and Pillow."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2.functional import pil_to_tensor

from regen_lib.core.errors import StudyError
from regen_lib.core.images import load_images
from regen_lib.data import decoding
from regen_lib.data.image_folder import Streamed, balanced, decode, listing
from regen_lib.data.sources import prepare
from regen_lib.training.loop import fit
from regen_lib.training.recipe import Recipe

NAMES = ("n01", "n02", "n03")
OPTIONS: dict[str, dict[str, Any]] = {"trees": {"train": "all", "validation": "all", "test": "all"}, "counts": {"train": 6, "test": 0}}


def noise(height: int, width: int, seed: int) -> Tensor:
    return torch.randint(0, 256, (height, width, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Five images of each of three classes, of several sizes; one grey, one CMYK, one with a palette."""
    for index in range(15):
        path = tmp_path / "raw/all" / NAMES[index % 3] / f"{index:02d}.{'png' if index == 9 else 'JPEG'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(noise(260 + index, 300 - index, index).numpy())
        {3: image.convert("L"), 4: image.convert("CMYK"), 9: image.convert("P")}.get(index, image).save(path)
    return tmp_path / "raw"


def prepared(raw: Path, tmp_path: Path, **options: object) -> tuple[Path, tuple[str, ...]]:
    target = tmp_path / "data/images.safetensors"
    return target, prepare("image_folder", raw, target, validation=3, seed=0, **{**OPTIONS, **options})


def test_splits_are_disjoint_and_balanced(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, names = prepared(raw, tmp_path)
    splits = load_images(target)
    assert names == NAMES
    assert {name: len(split) for name, split in splits.items()} == {"train": 6, "validation": 3, "test": 6}
    assert [sorted(splits[name].labels.tolist()) for name in ("train", "validation")] == [[0, 0, 1, 1, 2, 2], [0, 1, 2]]
    pixels = torch.cat([split.pixels for split in splits.values()]).flatten(1)
    assert len(pixels.unique(dim=0)) == 15
    assert "'CMYK': 1, 'L': 1, 'P': 1, 'RGB': 12" in capsys.readouterr().out
    assert not (target.parent / "images.safetensors.parts").exists()


def test_decoding_is_pillows(raw: Path) -> None:
    """Bilinear with antialiasing, shorter side 256 or both sides, to within rounding."""
    path = raw / "all/n01/00.JPEG"
    for square in (False, True):
        pixels, mode = decode(path, square=square)
        with Image.open(path) as image:
            width, height = (256, 256) if square else (image.width * 256 // image.height, 256)
            expected = pil_to_tensor(image.resize((width, height), Image.Resampling.BILINEAR))
        assert (mode, pixels.shape) == ("RGB", expected.shape)
        assert (pixels.int() - expected.int()).abs().max() <= 1


def test_class_order_is_torchvisions(raw: Path) -> None:
    (raw / "classes.json").write_text(json.dumps([[name, name] for name in (*NAMES, "n04")]))
    theirs = ImageFolder(raw / "all")
    ours = listing(raw / "all")
    assert list(ours.names) == theirs.classes
    assert [(str(path), label) for path, label in zip(ours.files, ours.classes, strict=True)] == theirs.samples
    kept = listing(raw / "all", (*NAMES[:2], "n025", NAMES[2]))  # a class without images keeps its number
    assert set(kept.classes) == {0, 1, 3}


def test_a_list_of_files(raw: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    (raw / "all/n02/01.JPEG").rename(flat / "ILSVRC2012_val_00000001.JPEG")
    (flat / "val.txt").write_text("ILSVRC2012_val_00000001.JPEG 65\n")
    found = listing(flat / "val.txt")
    assert (found.classes, len(found.names), found.files[0].is_file()) == ((65,), 66, True)


@pytest.mark.parametrize("classes", [[0, 0, 0, 1, 2, 2], [2, 1, 0]])
def test_balanced_order(classes: list[int]) -> None:
    order = balanced(classes, torch.Generator().manual_seed(0))
    assert sorted(order) == list(range(len(classes)))
    assert {classes[i] for i in order[:3]} == {0, 1, 2}


def test_bad_files_are_named(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = raw / "all/n02/01.JPEG"
    bad.write_bytes(bad.read_bytes()[:3000])
    with pytest.raises(StudyError, match=r"1 files cannot be decoded; .*n02/01\.JPEG"):
        prepared(raw, tmp_path)
    target, _ = prepared(raw, tmp_path, unreadable="drop")
    assert sum(len(split) for split in load_images(target).values()) == 14
    assert "01.JPEG cannot be decoded" in capsys.readouterr().out


def test_resumes_without_redoing_shards(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "SIZE", 2)
    whole, _ = prepared(raw, tmp_path)
    expected = whole.read_bytes()
    whole.unlink()
    done = []

    def stop(path: Path, **options: object) -> object:
        done.append(path)
        if len(done) == 8:
            raise KeyboardInterrupt
        return decode(path, **options)

    monkeypatch.setattr(decoding, "WORKERS", 1)
    monkeypatch.setattr(decoding, "decode", stop)
    with pytest.raises(KeyboardInterrupt):
        prepared(raw, tmp_path)
    assert not whole.exists()
    again, _ = prepared(raw, tmp_path)
    assert again.read_bytes() == expected
    assert len(done) == 15 + 2  # the shard that was interrupted had two images


def test_what_is_written_is_checked(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sums = iter(range(1000))
    monkeypatch.setattr(decoding, "checksum", lambda tensor: f"{next(sums)}")
    with pytest.raises(StudyError, match="is not what was decoded"):
        prepared(raw, tmp_path)
    assert not (tmp_path / "data/images.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"counts": {"train": 16, "test": 0}}, r"16 images asked for as train, 15 are left"),
        ({"trees": {**OPTIONS["trees"], "test": "none"}}, r"none is missing"),
        ({"classes": "short.json"}, r"1 folders are no known class, n03"),
    ],
)
def test_wrong_trees(raw: Path, tmp_path: Path, options: dict[str, object], message: str) -> None:
    (raw / "short.json").write_text(json.dumps([["n01", "one"], ["n02", "two"]]))
    with pytest.raises(StudyError, match=message):
        prepared(raw, tmp_path, **options)


def test_streamed_crops_are_parts_of_the_image(raw: Path) -> None:
    stream = Streamed(raw / "all")
    ((x, labels),) = stream.batches([torch.tensor([0, 7, 14])], torch.Generator().manual_seed(1))
    assert (x.shape, labels.tolist(), len(stream.first(4))) == ((3, 3, 224, 224), [0, 1, 2], 4)
    for row, index in zip(x, (0, 7, 14), strict=True):
        image, _ = decode(stream.found.files[index], square=False)
        windows = image.unfold(1, 224, 1).unfold(2, 224, 1).permute(1, 2, 0, 3, 4)
        crops = torch.stack([windows, windows.flip(4)]).flatten(0, 2)
        assert (crops == row).flatten(1).all(1).any()
    with pytest.raises(StudyError, match="16 images asked for"):
        stream.first(16)


def test_streams_decode_ahead(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a batch is worked on the next two are decoded, no more; what comes is what comes without looking ahead."""
    stream, chunks = Streamed(raw / "all"), list(torch.randperm(15, generator=torch.Generator().manual_seed(2)).split(3))
    plain = [next(stream.batches([chunk], rng)) for rng in [torch.Generator().manual_seed(1)] for chunk in chunks]
    asked, started = [], stream.pool.map

    def ask(work: Callable[..., Tensor], files: list[Path], draws: list[list[float]]) -> Iterator[Tensor]:
        asked.append(len(files))
        return started(work, files, draws)

    monkeypatch.setattr(stream.pool, "map", ask)
    for index, (x, labels) in enumerate(stream.batches(chunks, torch.Generator().manual_seed(1))):
        assert len(asked) == min(index + 3, 5)
        assert torch.equal(x, plain[index][0])
        assert torch.equal(labels, plain[index][1])
    (raw / "all/n01/00.JPEG").write_bytes(b"no image")
    with pytest.raises(StudyError, match=r"00\.JPEG cannot be decoded"):
        list(stream.batches([torch.tensor([0])], torch.Generator()))


def test_a_stream_can_be_trained_on(raw: Path) -> None:
    stream = Streamed(raw / "all")
    network = nn.Sequential(nn.AvgPool2d(32), nn.Flatten(), nn.Linear(3 * 49, 3))
    before = network[2].weight.clone()
    assert len(fit(network, [network], stream, Recipe(1, 1e-4, batch=5), seed=0, name="stream")) == 1
    assert not torch.equal(network[2].weight, before)
    assert stream.pixels.shape == (4, 3, 224, 224)
    assert stream.pixels.dtype == torch.uint8
