"""Files and folders of any sort: decoded as Pillow and torchvision do, or named; nothing waits, swells or passes unseen."""

import errno
import io
import json
import os
import tracemalloc
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.datasets import ImageFolder as TheirFolder
from torchvision.transforms.v2.functional import pil_to_tensor

from regen_lib.core.errors import StudyError
from regen_lib.core.images import load_images
from regen_lib.data.image_file import Form, UndecodableError, decode
from regen_lib.data.listing import balanced, class_list, listing
from regen_lib.data.raw import check_raw
from regen_lib.data.sources import prepare, training_images
from tests.faults.images import Variant, Write, variants
from tests.trees import NAMES, TREES, make_tree, noise

VARIANTS = list(variants())


def good_tree(folder: Path) -> Path:
    """Two classes of two images."""
    for index, name in enumerate(("a", "a", "b", "b")):
        path = folder / "t" / name / f"good{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (index * 50, 9, 9)).save(path)
    return folder / "t"


def test_variants_are_many_and_the_same_each_time(tmp_path: Path) -> None:
    assert len(VARIANTS) >= 150
    assert len({(kind, name) for kind, name, _, _ in VARIANTS}) == len(VARIANTS)
    written = []
    for turn in range(2):
        tree = good_tree(tmp_path / str(turn))
        {name: write for _, name, write, _ in variants()}["PNG RGB as .png"](tree)
        written.append((tree / "a/x.png").read_bytes())
    assert written[0] == written[1]


@pytest.mark.parametrize(("write", "expected"), [pytest.param(*row[2:], id=f"{row[0]}: {row[1]}") for row in VARIANTS])
def test_each_is_decoded_or_dropped_or_refused(tmp_path: Path, write: Write, expected: str) -> None:
    tree = good_tree(tmp_path)
    write(tree)
    if expected == "refused":
        with pytest.raises(StudyError, match=r"t( |:|/)"):
            listing(tree)
        return
    decoded, named = [], []
    for file in listing(tree).files:
        try:
            decoded.append(decode(file, Form())[0])
        except UndecodableError as error:
            named.append(str(error))
    assert len(decoded) == 4 + (expected == "decoded")
    assert all(image.dtype == torch.uint8 and min(image.shape[1:]) == 256 and image.shape[0] == 3 for image in decoded)
    assert all("x." in text and "cannot be decoded (" in text and "0x" not in text and "\n" not in text for text in named)


def gathered(tree: Path, rows: list[Variant]) -> tuple[int, int]:
    """All variants that leave a file x.* in one tree, under other names; how many are to be decoded, and how many named."""
    good = bad = 0
    for number, (_, _, write, expected) in zip(count(), rows, strict=False):
        write(tree)
        for path in sorted((tree / "a").glob("x*.*")):
            path.rename(path.with_name(f"{number:03d}{path.suffix}"))
            good, bad = good + (expected == "decoded"), bad + (expected == "dropped")
    return good, bad


def test_the_decoded_set_and_the_stream_drop_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = good_tree(tmp_path)
    kinds = ("stored", "sized", "sixteen bits", "other formats", "special")
    good, bad = gathered(tree, [row for row in VARIANTS if row[0] in kinds and row[1] != "link to an image"])
    target = tmp_path / "images.safetensors"
    options = {"trees": dict.fromkeys(TREES, "t"), "counts": {"train": good + bad - 16, "test": None}, "unreadable": "drop"}
    prepare("image_folder", tmp_path, target, validation=10, seed=0, **options)
    said = capsys.readouterr().out
    assert sum(len(split) for split in load_images(target).values()) == good + 4
    assert said.count("cannot be decoded (") == bad
    stream = training_images(target, True)
    batches = list(stream.batches(torch.arange(len(stream)).split(16), torch.Generator().manual_seed(0)))
    assert sum(len(labels) for _, labels in batches) == len(stream) == good + bad - 16
    said = capsys.readouterr().out
    assert said.count("cannot be decoded (") == len(stream.bad) > 0
    with pytest.raises(StudyError, match=f"{bad} files cannot be decoded"):
        prepare("image_folder", tmp_path, target, validation=10, seed=0, **{**options, "unreadable": "stop"})


def test_what_is_left_out_is_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = good_tree(tmp_path)
    for name in ("1.webp", "2.webp", "3.bmp", "._4.JPEG", "5.JPEG", ".ipynb_checkpoints"):
        (tree / "b" / name).write_bytes((tree / "a/good0.jpg").read_bytes())
    (tree / "c").mkdir()
    found = listing(tree)
    assert len(found) == 5
    assert found.names == ("a", "b", "c")
    said = capsys.readouterr().out
    for text in (
        "2 .webp left out, " + str(tree / "b/1.webp"),
        "1 .bmp left out",
        "2 hidden left out",
        "1 of 3 classes have no image, c for one",
    ):
        assert text in said


def test_decoding_is_pillows(tmp_path: Path) -> None:
    """Bilinear with antialiasing, shorter side 256 or both sides, to within rounding."""
    path = make_tree(tmp_path) / "all/n01/00.JPEG"
    for square in (False, True):
        pixels, mode = decode(path, Form(square=square))
        with Image.open(path) as image:
            width, height = (256, 256) if square else (image.width * 256 // image.height, 256)
            expected = pil_to_tensor(image.resize((width, height), Image.Resampling.BILINEAR))
        assert (mode, pixels.shape) == ("RGB", expected.shape)
        assert (pixels.int() - expected.int()).abs().max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_an_image_where_asked(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(noise(256, 256, 0).numpy())
    image.save(tmp_path / "x.png", exif=exif)
    plain, turned = (decode(tmp_path / "x.png", Form(rotate=rotate))[0] for rotate in (False, True))
    assert torch.equal(plain, pil_to_tensor(image))
    with Image.open(tmp_path / "x.png") as stored:
        assert torch.equal(turned, pil_to_tensor(ImageOps.exif_transpose(stored)))


def test_sixteen_bits_keep_their_brightness(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 1, 256), (256, 1))
    Image.fromarray((ramp * 65535).astype(np.uint16)).save(tmp_path / "16.png")
    Image.fromarray((ramp * 255).astype(np.uint8)).save(tmp_path / "8.png")
    sixteen, eight = (decode(tmp_path / f"{bits}.png", Form())[0].int() for bits in (16, 8))
    assert (sixteen - eight).abs().max() <= 1


def test_strips_and_bombs_take_no_memory(tmp_path: Path) -> None:
    for size in ((65_500, 1), (9_000, 9_950)):
        Image.new("L", size).save(tmp_path / "x.png")
        tracemalloc.start()
        with pytest.raises(StudyError, match=r"x\.png cannot be decoded \(.* pixels, at most"):
            decode(tmp_path / "x.png", Form())
        assert tracemalloc.get_traced_memory()[1] < 2**24
        tracemalloc.stop()


def test_a_failing_disk_is_no_bad_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where bad images are dropped: the next run would find it good."""
    tree, target = good_tree(tmp_path), tmp_path / "images.safetensors"
    options = {"trees": dict.fromkeys(TREES, "t"), "counts": {"train": 1, "test": None}, "unreadable": "drop"}
    prepare("image_folder", tmp_path, target, validation=1, seed=0, **options)
    stream = training_images(target, True)
    for code in (errno.EIO, errno.EMFILE, errno.ESTALE):

        def fail(_path: Path, code: int = code) -> bytes:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(Path, "read_bytes", fail)
        for work in (lambda: prepare("image_folder", tmp_path, target, validation=1, seed=0, **options), lambda: stream.image(0)):
            with pytest.raises(StudyError, match=f"{tree}.* cannot be read now .*: run it again") as caught:
                work()
            assert not isinstance(caught.value, UndecodableError)


def test_class_order_is_torchvisions(tmp_path: Path) -> None:
    tree = make_tree(tmp_path) / "all"
    theirs, ours = TheirFolder(tree), listing(tree)
    assert list(ours.names) == theirs.classes
    assert [(str(path), label) for path, label in zip(ours.files, ours.classes, strict=True)] == theirs.samples
    kept = listing(tree, (*NAMES[:2], "n025", NAMES[2]))  # a class without images keeps its number
    assert set(kept.classes) == {0, 1, 3}


def test_a_list_of_files(tmp_path: Path) -> None:
    Image.new("L", (9, 9)).save(tmp_path / "val 1.JPEG")
    (tmp_path / "val.txt").write_text("\ufeffval 1.JPEG 65\n")
    found = listing(tmp_path / "val.txt")
    assert (found.classes, len(found.names), found.files[0].is_file()) == ((65,), 66, True)


@pytest.mark.parametrize("classes", [[0, 0, 0, 1, 2, 2], [2, 1, 0]])
def test_balanced_order(classes: list[int]) -> None:
    order = balanced(classes, torch.Generator().manual_seed(0))
    assert sorted(order) == list(range(len(classes)))
    assert {classes[i] for i in order[:3]} == {0, 1, 2}


def test_lists_of_classes(tmp_path: Path) -> None:
    path, pairs = tmp_path / "classes.json", [("n2", "two"), ("n1", "one")]
    for content in (pairs, {"1": pairs[1], "0": pairs[0]}):  # the second as Keras has it
        path.write_text(json.dumps(content))
        assert class_list(path) == pairs
    for wrong in ("", "[]", "3", '[["a", 1]]', '["ab", "cde"]', '[["a", "x"], ["a", "y"]]', '{"1": ["a", "b"]}'):
        path.write_text(wrong)
        with pytest.raises(StudyError, match=r"classes\.json .*(is|are) needed|each needs"):
            class_list(path)


def test_raw_folders_that_dvc_does_not_see(tmp_path: Path) -> None:
    """It waits on pipes, fails at dead links, and does not look behind links to folders."""
    raw, data = tmp_path / "raw", io.BytesIO()
    good_tree(raw)
    Image.new("L", (9, 9)).save(data, "PNG")
    (tmp_path / "outside.png").write_bytes(data.getvalue())
    (raw / "t/a/link.png").symlink_to(tmp_path / "outside.png")
    check_raw(raw)
    (tmp_path / "link").symlink_to(raw)
    check_raw(tmp_path / "link")
    wrong = {"a pipe": next(row[2] for row in VARIANTS if row[1] == "pipe")} | {
        "a link to nothing": lambda tree: (tree / "a/x.jpg").symlink_to("none"),
        "a link to a folder": lambda tree: (tree / "a/x.jpg").symlink_to(tmp_path),
    }
    for text, write in wrong.items():
        write(raw / "t")
        with pytest.raises(StudyError, match=rf"t/a/x\.jpg is {text}"):
            check_raw(raw)
        (raw / "t/a/x.jpg").unlink()
