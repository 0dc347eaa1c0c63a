"""``make photos``: published files from a server on this machine that can lie, stop half-way and go on."""

import errno
import hashlib
import io
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from PIL import Image
from torch import nn

from regen_lib.core.errors import StudyError
from regen_lib.data.listing import class_list, listing
from regen_lib.study import __main__ as study
from regen_lib.study import photos, published
from regen_lib.study.published import PUBLISHED, Published
from tests.repository import REPOSITORY
from tests.server import Server, serving

TEN, OTHER, THIRD = ("n01440764", "n03888257"), "n01443537", "n01484850"
PHOTOGRAPHS = (f"{OTHER}_goldfish.JPEG", f"{THIRD}_shark.JPEG")


def tgz() -> bytes:
    """As Imagenette's archive, with files that must not be unpacked."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        names = [f"imagenette2-320/{tree}/{wnid}/{tree}_{i}.JPEG" for tree in ("train", "val") for wnid in TEN for i in range(3)]
        for name in (*names, "imagenette2-320/noisy_imagenette.csv", "../out.JPEG", "a/train/n01440764/../../../../out.JPEG"):
            info = tarfile.TarInfo(name)
            info.size = len(name)
            archive.addfile(info, io.BytesIO(name.encode()))
    return target.getvalue()


def photograph() -> bytes:
    """A small JPEG."""
    target = io.BytesIO()
    Image.radial_gradient("L").resize((16, 16)).save(target, "JPEG")
    return target.getvalue()


def one_a_class(*names: str, of: bytes = photograph()) -> bytes:
    """As the archive of one photograph a class, with files that must not be unpacked."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in ("README.md", f"{TEN[0]}_tench.JPEG", *names):
            archive.writestr(f"imagenet-sample-images-22d0a5c/{name}", of)
    return target.getvalue()


FILES = {
    "imagenette2-320.tgz": tgz(),
    "sample.zip": one_a_class(*PHOTOGRAPHS),
    "index.json": json.dumps(
        {"0": [TEN[0], "tench"], "1": [OTHER, "goldfish"], "2": [TEN[1], "parachute"], "3": [THIRD, "shark"]}
    ).encode(),
    "bvlc_googlenet.caffemodel": bytes(range(256)) * 400,
    "squeezenet_v1.0.caffemodel": b"weights" * 900,
}
ALL = ("train", "val", "others", "classes.json", "bvlc_googlenet.caffemodel", "squeezenet1_0.safetensors")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """:data:`FILES` by http on this machine, and the published list with their addresses and sums."""
    places = [record.place for record in PUBLISHED[:4]] + [published.named("squeezenet1_0.safetensors")]
    with serving(FILES, tmp_path / "data/raw", monkeypatch) as state:
        listed = [
            Published(
                record.gives,
                state.address + name,
                {"sha1": hashlib.sha1(FILES[name]).hexdigest()} if record.sums else {},
                len(FILES[name]),
                place,
                record.photographs and len(PHOTOGRAPHS),
            )
            for record, name, place in zip(PUBLISHED, FILES, places, strict=True)
        ]
        monkeypatch.setattr(photos, "PUBLISHED", listed)
        yield state


def there(folder: Path) -> set[str]:
    """The files in and below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_all_that_the_study_names_is_put_there(server: Server) -> None:
    photos.bring(server.raw)
    images = {f"{tree}/{wnid}/{tree}_{i}.JPEG" for tree in ("train", "val") for wnid in TEN for i in range(3)}
    assert there(server.raw) == {*images, *(f"others/{name[:9]}/{name}" for name in PHOTOGRAPHS), *ALL[3:]}
    assert (server.raw / "bvlc_googlenet.caffemodel").read_bytes() == FILES["bvlc_googlenet.caffemodel"]
    known = [wnid for wnid, _ in class_list(server.raw / "classes.json")]
    assert [set(listing(server.raw / tree, known).classes) for tree in ("train", "val", "others")] == [{0, 2}, {0, 2}, {1, 3}]
    assert os.listdir(server.raw.parent) == ["raw"]  # nothing is left of the downloads


def test_what_it_brings_is_what_params_name() -> None:
    params = yaml.safe_load((REPOSITORY / "studies/imagenette/params.yaml").read_text())
    options, networks = params["images"]["options"], params["networks"].values()
    named = {*options["trees"].values(), options["classes"], *(network["recipe"]["weights"] for network in networks)}
    assert named == {name for record in PUBLISHED for name in record.gives}


def test_a_second_run_fetches_nothing(server: Server) -> None:
    photos.bring(server.raw)
    before = [len(server.asked), *sorted(there(server.raw))]
    photos.bring(server.raw)
    assert before == [5, *sorted(there(server.raw))]
    assert len(server.asked) == 5
    shutil.rmtree(server.raw / "val")
    photos.bring(server.raw)
    assert server.asked[5:] == [("imagenette2-320.tgz", 0)]


@pytest.mark.parametrize("name", ["imagenette2-320.tgz", "index.json", "bvlc_googlenet.caffemodel", "squeezenet_v1.0.caffemodel"])
def test_another_sum_is_refused_and_leaves_nothing(server: Server, name: str) -> None:
    server.files[name] = FILES[name][:-1] + b"!"
    with pytest.raises(StudyError, match=hashlib.sha1(FILES[name]).hexdigest()):
        photos.bring(server.raw)
    gives = next(record.gives for record in photos.PUBLISHED if record.name == name)
    assert not [path for path in server.raw.parent.rglob("*") if path.name in (name, *gives)]
    server.files[name] = FILES[name]
    photos.bring(server.raw)
    assert set(os.listdir(server.raw)) == set(ALL)


def test_a_cut_archive_without_a_sum_is_not_unpacked(server: Server) -> None:
    server.cut["sample.zip"] = 50
    with pytest.raises(StudyError, match=r"too early.*download sample\.zip elsewhere .*WEIGHTS="):
        photos.bring(server.raw)
    assert not (server.raw / "others").exists()
    del server.cut["sample.zip"]
    photos.bring(server.raw)
    assert [begin for asked, begin in server.asked if asked == "sample.zip"] == [0, 50]
    assert set(os.listdir(server.raw)) == set(ALL)


BAD_OTHERS = {
    "a page": (b"<html>not found</html>", "not a zip file"),
    "half an archive": (FILES["sample.zip"][:-30], "not a zip file"),
    "a byte flipped": (FILES["sample.zip"].replace(photograph()[-40:], bytes(40)), "Bad CRC-32"),
    "no photographs": (one_a_class(), "it holds no others"),
    "one of them": (one_a_class(PHOTOGRAPHS[0]), "it holds 1 photographs, 2 are published"),
    "one too many": (one_a_class(*PHOTOGRAPHS, "n01491361_tiger.JPEG"), "it holds 3 photographs, 2 are published"),
    "texts": (one_a_class(*PHOTOGRAPHS, of=b"a text"), f"in it {PHOTOGRAPHS[0]} is no photograph"),
    "half photographs": (one_a_class(*PHOTOGRAPHS, of=photograph()[:-100]), "is no photograph"),
}


@pytest.mark.parametrize("name", BAD_OTHERS)
def test_an_archive_that_is_bad_is_named_and_dropped(server: Server, name: str) -> None:
    """Nobody publishes its sum. The next run begins it anew, not behind the bad bytes."""
    server.files["sample.zip"], said = BAD_OTHERS[name]
    with pytest.raises(StudyError, match=rf"raw\.partial/sample\.zip: .*{said}.*: run it again, it is downloaded anew"):
        photos.bring(server.raw)
    assert not (server.raw / "others").exists()
    server.files["sample.zip"] = FILES["sample.zip"]
    photos.bring(server.raw)
    assert [begin for asked, begin in server.asked if asked == "sample.zip"] == [0, 0]
    assert set(os.listdir(server.raw)) == set(ALL)


def test_a_bad_archive_of_the_users_own_is_named_and_kept(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "weights/sample.zip"
    given.parent.mkdir()
    given.write_bytes(b"no archive")
    monkeypatch.setattr(study, "load_params", lambda _path: {"images": {"raw": "raw"}})
    assert study.main(["photos", str(server.raw.parent), "--weights", str(given.parent)]) == 2
    assert f"error: {given}: damaged, or not what is published (File is not a zip file): download it again" in capsys.readouterr().err
    assert given.read_bytes() == b"no archive"


def test_a_full_disk_is_no_damage(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was downloaded stays."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(published, "write", full)
    with pytest.raises(StudyError, match=r"made cannot be written: No space left on device: see to room"):
        photos.bring(server.raw)
    assert (server.raw.with_name("raw.partial") / "imagenette2-320.tgz").is_file()


def test_room_is_looked_for_first(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    free = sum(map(len, FILES.values())) - 1
    monkeypatch.setattr(photos.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(free + 1, 1, free))
    with pytest.raises(StudyError, match="make room"):
        photos.bring(server.raw)
    assert not server.asked


def test_every_address_is_https() -> None:
    assert {record.url.partition("://")[0] for record in PUBLISHED} == {"https"}


def test_published_files_are_taken_from_a_folder(server: Server, tmp_path: Path) -> None:
    name, weights = "bvlc_googlenet.caffemodel", tmp_path / "a folder"
    weights.mkdir()
    (weights / name).write_bytes(b"of somebody")
    with pytest.raises(StudyError, match=r"a folder/bvlc_googlenet\.caffemodel: .*published"):
        photos.bring(server.raw, weights=weights)
    (weights / name).write_bytes(FILES[name])
    photos.bring(server.raw, weights=weights)
    assert (server.raw / name).read_bytes() == (weights / name).read_bytes() == FILES[name]
    assert name not in [asked for asked, _ in server.asked]


def test_folders_are_linked_to_and_nothing_is_fetched(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command, from two folders: the photographs, and one of each class under another name, those of the ten left out."""
    texts = [*(f"one/{tree}/{wnid}/{tree}.JPEG" for tree in ("train", "val") for wnid in TEN), "one/bvlc_googlenet.caffemodel"]
    texts += [f"two/images/{wnid}/{wnid}.jpg" for wnid in (*TEN, OTHER)] + ["two/classes.json"]
    for name in texts:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    made = tmp_path / "study"
    made.mkdir()
    shutil.copy(REPOSITORY / "studies/imagenette/params.yaml", made)
    monkeypatch.chdir(tmp_path)
    assert study.main(["photos", "study", "--raw", "one:two"]) == 2
    assert "squeezenet1_0.safetensors not there" in capsys.readouterr().err
    (tmp_path / "two/squeezenet1_0.safetensors").write_text("weights")
    assert study.main(["photos", "study", "--raw", "one:two"]) == 0
    raw = made / "data/raw"
    assert there(raw) == {name.partition("/")[2] for name in texts[:5]} | {f"others/{OTHER}/{OTHER}.jpg", "classes.json", ALL[5]}
    assert (raw / "train" / TEN[0] / "train.JPEG").read_text() == texts[0]
    assert not server.asked


def test_squeezenet_is_kept_as_the_study_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every array of the published file, by names that a network can be filled from again."""
    monkeypatch.setattr(published, "load_weights", lambda network, _: [p.data.fill_(i) for i, p in enumerate(network.parameters())])
    published.squeezenet(tmp_path / "a.caffemodel", tmp_path)
    network: nn.Module = published.build("squeezenet", published.Task((3, 224, 224), 1000, (9.0,) * 3, (1.0,) * 3))
    monkeypatch.undo()
    published.load_weights(network, str(tmp_path / "squeezenet1_0.safetensors"))
    held = [p.detach().aminmax() for p in network.parameters()]
    assert [(float(low), float(high)) for low, high in held] == [(float(i), float(i)) for i in range(52)]
