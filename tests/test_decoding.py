"""Trees of images into one file: splits, options, the room that it takes."""

import json
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torchvision.transforms.v2.functional import center_crop, pil_to_tensor

from regen_lib.core.errors import StudyError
from regen_lib.core.images import load_images
from regen_lib.data import decoding
from regen_lib.data.image_file import Form, decode
from regen_lib.data.image_folder import ImageFolder
from regen_lib.data.listing import listing
from regen_lib.data.sources import prepare, training_images
from regen_lib.data.stream import Streamed
from tests.trees import NAMES, OPTIONS, TREES, digest, make_tree, noise, prepared


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "raw")


def test_one_flipped_bit_is_refused(raw: Path, tmp_path: Path) -> None:
    target, _ = prepared(raw, tmp_path)
    whole = target.read_bytes()
    for place in (5000, len(whole) // 2, len(whole) - 1):  # the first and a later image, the last label
        target.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(StudyError, match="is damaged"):
            load_images(target)


def test_images_of_another_size(raw: Path, tmp_path: Path) -> None:
    """The shorter side scaled to ``side``, a square of ``crop`` pixels cut out, in the file and in a stream."""
    target, _ = prepared(raw, tmp_path, side=40, crop=32)
    pixels, form = load_images(target)["test"].pixels, Form(side=40, crop=32)
    whole = [decode(file, form)[0] for file in listing(raw / "all").files]
    assert all(min(image.shape[1:]) == 40 for image in whole)
    centres = [center_crop(image, [32, 32]) for image in whole]
    assert pixels.shape == (6, 3, 32, 32)
    assert all(any(torch.equal(image, centre) for centre in centres) for image in pixels)
    streamed, _ = next(iter(Streamed(listing(raw / "all"), form).batches([torch.arange(4)], torch.Generator())))
    assert streamed.shape == (4, 3, 32, 32)
    with pytest.raises(StudyError, match="32 x 32 pixels are cut out, so choose at least 32"):
        Form(side=31, crop=32)


def test_splits_are_disjoint_and_balanced(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, names = prepared(raw, tmp_path)
    splits = load_images(target)
    assert names == NAMES
    assert {name: len(split) for name, split in splits.items()} == {"train": 6, "validation": 3, "test": 6}
    assert [sorted(splits[name].labels.tolist()) for name in ("train", "validation")] == [[0, 0, 1, 1, 2, 2], [0, 1, 2]]
    pixels = torch.cat([split.pixels for split in splits.values()]).flatten(1)
    assert len(pixels.unique(dim=0)) == 15
    assert "'CMYK': 1, 'L': 1, 'P': 1, 'RGB': 12" in capsys.readouterr().out
    assert os.listdir(target.parent) == ["images.safetensors"]


def test_the_file_is_safetensors(raw: Path, tmp_path: Path) -> None:
    """Its arrays lie where its own reader wants them, aligned, without a gap."""
    target, _ = prepared(raw, tmp_path)
    with safe_open(target, framework="numpy") as file:
        shapes = {name: (file.get_tensor(name).shape, str(file.get_tensor(name).dtype)) for name in file.keys()}  # noqa: SIM118
    sizes = {"train": 6, "validation": 3, "test": 6}
    assert shapes == {f"{s}.pixels": ((n, 3, 224, 224), "uint8") for s, n in sizes.items()} | {
        f"{s}.labels": ((n,), "int64") for s, n in sizes.items()
    }
    data = target.read_bytes()
    length = int.from_bytes(data[:8], "little")
    offsets = sorted(row["data_offsets"] for name, row in json.loads(data[8 : 8 + length]).items() if name != "__metadata__")
    assert all(one[1] == other[0] for one, other in pairwise(offsets))
    assert (length + 8) % 4096 == 0
    assert offsets[-1][1] + 8 + length == len(data)


def test_bad_files_are_named(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = raw / "all/n02/01.JPEG"
    bad.write_bytes(bad.read_bytes()[:3000])
    with pytest.raises(StudyError, match=r"1 files cannot be decoded; .*n02/01\.JPEG"):
        prepared(raw, tmp_path)
    target, _ = prepared(raw, tmp_path, unreadable="drop")
    assert sum(len(split) for split in load_images(target).values()) == 14
    assert "01.JPEG cannot be decoded" in capsys.readouterr().out


@pytest.mark.parametrize(("count", "empty"), [(15, "train, validation, test"), (14, "validation, test")])
def test_a_split_of_which_nothing_is_left_is_refused(raw: Path, tmp_path: Path, count: int, empty: str) -> None:
    """Pointers of Git LFS in the place of images, say: dropped, they would leave a split without an image."""
    plan = ImageFolder.of(raw, 3, 0, OPTIONS).plan()
    files = [file for split in ("train", "validation", "test") for file in plan[split].files]
    for path in files[-count:]:
        path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(StudyError, match=rf"no image of {empty} can be decoded; .*\.(JPEG|png) .*: is it the right folder"):
        prepared(raw, tmp_path, unreadable="drop")
    assert not (tmp_path / "data/images.safetensors").exists()


def test_gaps_of_dropped_images_are_closed(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each image stands beside its label, whatever was dropped before it, in parts of any size."""
    for name in ("n01/00.JPEG", "n02/04.JPEG", "n03/08.JPEG"):
        (raw / "all" / name).write_bytes(b"no image")
    files = []
    for size in (1, 2, 500):
        monkeypatch.setattr(decoding, "SIZE", size)
        target, _ = prepared(raw, tmp_path, unreadable="drop")
        files.append(load_images(target))
        found = listing(raw / "all")
        label = {
            digest(decode(path, Form())[0]): label
            for path, label in zip(found.files, found.classes, strict=True)
            if path.stat().st_size > 8
        }
        for images in files[-1].values():
            assert [label[digest(image)] for image in images.pixels] == images.labels.tolist()
    assert all(len(one["train"]) + len(one["validation"]) + len(one["test"]) == 12 for one in files)


def test_takes_the_room_of_its_result(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peak = 0

    def look(real: Callable[..., object]) -> Callable[..., object]:
        def looked(*arguments: Any) -> object:
            nonlocal peak
            result = real(*arguments)
            peak = max(peak, sum(path.stat().st_size for path in (tmp_path / "data").rglob("*") if path.is_file()))
            return result

        return looked

    monkeypatch.setattr(decoding, "SIZE", 4)
    for name in ("replace_bytes", "write_ends", "settle", "report"):
        monkeypatch.setattr(decoding, name, look(getattr(decoding, name)))
    target, _ = prepared(raw, tmp_path)
    assert target.stat().st_size <= peak < 1.05 * target.stat().st_size


def test_what_is_written_is_checked(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, _ = prepared(raw, tmp_path)
    expected = target.read_bytes()
    target.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(decoding.Part, "stored", lambda _self, _note: b"of a failing disk")
        with pytest.raises(StudyError, match=r"not what was decoded.*Run it again"):
            prepared(raw, tmp_path)
    assert not target.exists()
    prepared(raw, tmp_path)
    assert target.read_bytes() == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"counts": {"train": 16, "test": None}}, r"16 images asked for as train, 15 are left"),
        ({"counts": {"train": 6}}, r"counts is \{'train': 6\}: give train, test"),
        ({"counts": {"train": -1, "test": 3}}, r"-1 images as train"),
        ({"counts": {"train": 6, "test": 0}}, r"0 images as test: give 1 or more, or null for all that are left"),
        ({"trees": {**TREES, "test": "none"}}, r"none is missing"),
        ({"trees": {"train": "all"}}, r"trees is \{'train': 'all'\}: give train, validation, test"),
        ({"classes": "short.json"}, r"1 folders are no known class, n03"),
        ({"classes": "none.json"}, r"none\.json is no list of classes"),
        ({"unreadable": "Drop"}, r"'Drop': choose stop or drop"),
        ({"side": 223}, r"side 223: 224 x 224 pixels are cut out"),
        ({"side": "256"}, r"side '256': 224 x 224 pixels"),
        ({"rotate": "no"}, r"rotate 'no': choose true or false"),
        ({"trees": {**TREES, "test": "../raw/all"}}, r"'\.\./raw/all' is not below images\.raw"),
        ({"classes": "/classes.json"}, r"'/classes\.json' is not below images\.raw"),
        ({"size": 3}, r"has no 'size': choose from trees"),
    ],
)
def test_wrong_options(raw: Path, tmp_path: Path, options: dict[str, object], message: str) -> None:
    (raw / "short.json").write_text(json.dumps([["n01", "one"], ["n02", "two"]]))
    with pytest.raises(StudyError, match=message):
        prepared(raw, tmp_path, **options)


def test_ten_folders_of_a_thousand_classes(tmp_path: Path) -> None:
    """As Imagenette lies: train/<folder> and val/<folder>, 224 x 224, its labels those of ImageNet's list; nothing is resized."""
    rows = {0: "n01440764", 217: "n02102040", 482: "n02979186", 999: "n15075141"}
    folders = [rows.get(label, f"m{label:08d}") for label in range(1000)]
    (tmp_path / "classes.json").write_text(json.dumps([[folder, f"class {label}"] for label, folder in enumerate(folders)]))
    for tree, count in (("train", 3), ("val", 2), ("others", 1)):
        for label, folder in rows.items():
            (tmp_path / tree / folder).mkdir(parents=True)
            for index in range(count):
                Image.fromarray(noise(224, 224, 10 * label + index).numpy()).save(tmp_path / tree / folder / f"{index}.jpg", quality=95)
    target = tmp_path / "images.safetensors"
    trees = {"train": "train", "validation": "train", "test": "val", "others": "others"}
    options = {"trees": trees, "counts": {"train": 4, "test": None}, "classes": "classes.json", "side": 224}
    names = prepare("image_folder", tmp_path, target, validation=4, seed=0, **options)
    assert (len(names), names[217]) == (1000, "class 217")
    splits = load_images(target)
    labels = {name: sorted(split.labels.tolist()) for name, split in splits.items()}
    assert labels == {"train": sorted(rows), "validation": sorted(rows), "test": sorted([*rows] * 2), "others": sorted(rows)}
    stored = [pil_to_tensor(Image.open(path)) for path in (tmp_path / "val/n02102040").iterdir()]
    mine = splits["test"].pixels[splits["test"].labels == 217]
    assert sorted(image.sum().item() for image in mine) == sorted(image.sum().item() for image in stored)
    assert any(torch.equal(mine[0], image) for image in stored)
    stream = training_images(target, True)
    assert sorted(stream.labels.tolist()) == sorted([*rows] * 2)
    (tmp_path / "train/n02979186/another.jpg").write_bytes((tmp_path / "train/n02979186/0.jpg").read_bytes())
    with pytest.raises(StudyError, match="has other images than those"):
        training_images(target, True)


def test_one_tree_in_several_spellings_is_one(raw: Path, tmp_path: Path) -> None:
    target, _ = prepared(raw, tmp_path)
    expected = load_images(target)
    prepared(raw, tmp_path, trees={"train": "all", "validation": "./all", "test": "all/"})
    found = load_images(target)
    for split in ("train", "validation", "test"):
        assert torch.equal(found[split].pixels, expected[split].pixels)


@pytest.mark.parametrize("lines", ["all/{0}/00.JPEG 0\nall/{0}/00.JPEG 0\nall/{1}/01.JPEG 1", "all/{0}/00.JPEG 0\nall/{1}/01.JPEG 1"])
def test_no_image_is_in_two_splits(raw: Path, tmp_path: Path, lines: str) -> None:
    (raw / "list.txt").write_text(lines.format(*NAMES))
    with pytest.raises(StudyError, match=r"is \d times among the images of .*: give trees and lists that share no file"):
        prepared(raw, tmp_path, trees={**TREES, "test": "list.txt"})


@pytest.mark.parametrize("file", ["../outside.png", "/abs/x.png"])
def test_a_list_names_files_below_it(raw: Path, tmp_path: Path, file: str) -> None:
    (raw / "list.txt").write_text(f"{file} 0\n")
    with pytest.raises(StudyError, match="is not beside the list or below: move it there"):
        prepared(raw, tmp_path, trees={**TREES, "test": "list.txt"})
