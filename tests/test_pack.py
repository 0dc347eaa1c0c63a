"""`make pack` and `make unpack`, on a study of three stages."""

import hashlib
import re
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.repo import Repo

from regen_lib.core.errors import StudyError
from regen_lib.study.__main__ import main
from regen_lib.study.folder import CONFIG
from regen_lib.study.pack import archive
from regen_lib.study.pack.outputs import hash_of, owner

DVC = """
stages:
  images:
    cmd: echo images > data/images
    outs: [data/images]
  networks:
    cmd: echo weights > data/network
    deps: [data/images]
    outs: [data/network]
  banks:
    cmd: mkdir -p data/banks/own && echo one > data/banks/own/a && echo two > data/banks/own/b.c && echo 1 > metrics.csv
    deps: [data/network]
    outs: [data/banks]
    metrics: [{metrics.csv: {cache: false}}]
"""


def dvc(*words: str) -> str:
    """What a DVC command says."""
    return subprocess.run([sys.executable, "-m", "dvc", *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``study``, a folder whose stages have run; ``pack.zip``, packed in it; and ``fresh``, with git's files and the images alone."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "cards", lambda _paths: {"data/network.md": "# A network\n"})
        for name in ("study", "fresh"):
            (folder / name / ".dvc").mkdir(parents=True)
            (folder / name / ".dvc/config").write_text(CONFIG)
            (folder / name / "dvc.yaml").write_text(DVC)
            (folder / name / "data").mkdir()
        patch.chdir(folder / "study")
        dvc("repro", "--quiet")
        archive.pack(folder / "pack.zip")
        for name in ("dvc.lock", "metrics.csv"):
            shutil.copy(name, folder / "fresh" / name)
        patch.chdir(folder / "fresh")
        dvc("repro", "--quiet", "--single-item", "images")
        assert set(Repo().status()) == {"networks", "banks"}
    return folder


@pytest.fixture
def study(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished study, to work in."""
    shutil.copytree(made / "study", tmp_path / "study")
    monkeypatch.chdir(tmp_path / "study")
    monkeypatch.setattr(archive, "cards", lambda _paths: {"data/network.md": "# A network\n"})
    return tmp_path / "study"


@pytest.fixture
def fresh(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the fresh one, to work in; the archive lies beside it."""
    shutil.copytree(made / "fresh", tmp_path / "fresh")
    shutil.copy(made / "pack.zip", tmp_path)
    monkeypatch.chdir(tmp_path / "fresh")
    return tmp_path / "fresh"


Change = Callable[[dict[str, bytes]], object]


def rewritten(source: Path, change: Change, *, sums: bool = True, compression: int = zipfile.ZIP_STORED) -> Path:
    """A copy of the archive with other contents, their sums made anew or not."""
    with zipfile.ZipFile(source) as old:
        content = {name: old.read(name) for name in old.namelist()}
    change(content)
    if sums:
        lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in content.items() if name != "SHA256SUMS"]
        content["SHA256SUMS"] = "".join(lines).encode()
    with zipfile.ZipFile(source.with_name("other.zip"), "w", compression) as new:
        for name, data in content.items():
            new.writestr(name, data)
    return source.with_name("other.zip")


def test_what_was_unpacked_is_up_to_date(fresh: Path) -> None:
    lock = (fresh / "dvc.lock").read_bytes()
    assert archive.unpack(fresh.parent / "pack.zip") == 4
    assert Repo().status() == {}
    assert (fresh / "data/banks/own/b.c").read_text() == "two\n"
    assert (fresh / "dvc.lock").read_bytes() == lock
    assert "didn't change" in dvc("repro")
    shutil.rmtree(fresh / "data")
    dvc("checkout")  # from the cache
    assert (fresh / "data/network").read_text() == "weights\n"


def test_the_archive_is_one_that_other_tools_check(study: Path) -> None:
    target = study.parent / "pack.zip"
    assert archive.pack(target) == 4
    first = target.read_bytes()
    with zipfile.ZipFile(target) as packed:
        assert set(packed.namelist()) == {"data/network", "data/banks/own/a", "data/banks/own/b.c", "cards/data/network.md", "SHA256SUMS"}
        packed.extractall(study.parent / "extracted")
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=study.parent / "extracted", check=True, capture_output=True)
    archive.pack(target)
    assert target.read_bytes() == first


def test_only_a_finished_study_is_packed(study: Path) -> None:
    (study / "data/network").unlink()
    with pytest.raises(StudyError, match="data/network and 0 more outputs are not what"):
        archive.pack(study.parent / "pack.zip")
    assert not (study.parent / "pack.zip").exists()


def put(name: str) -> Change:
    return lambda content: content.update({name: b"x"})


def remove(name: str) -> Change:
    return lambda content: content.pop(name)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/evil",
        "../evil",
        "data/../../evil",
        "data/banks/../../evil",
        "evil",
        "data/images",
        "metrics.csv",
        ".dvc/config",
        "data\\network",
    ],
)
def test_nothing_is_written_but_outputs_of_stages(fresh: Path, name: str) -> None:
    before = sorted(fresh.parent.rglob("*"))
    other = rewritten(fresh.parent / "pack.zip", put(name))
    with pytest.raises(StudyError, match="is no output of a stage of this study"):
        archive.unpack(other)
    assert sorted(fresh.parent.rglob("*")) == sorted([*before, other])


DAMAGES: dict[str, tuple[Change, bool, str]] = {
    "another file": (put("data/network"), True, "its data/network is not the one of dvc.lock"),
    "a file more": (put("data/banks/own/c"), True, "its data/banks is not the one of dvc.lock"),
    "a file less": (remove("data/banks/own/a"), True, "its data/banks is not the one of dvc.lock"),
    "a changed file": (put("data/network"), False, "data/network is damaged, its SHA-256"),
    "a file that is not listed": (put("data/banks/own/c"), False, "'data/banks/own/c' is in the archive or in its SHA256SUMS, not in both"),
    "a file that is only listed": (remove("data/network"), False, "'data/network' is in the archive or"),
    "no sums": (remove("SHA256SUMS"), False, "is damaged or no archive of `make pack`"),
    "sums that are none": (put("SHA256SUMS"), False, "not in both"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_archives_are_refused(fresh: Path, damage: str) -> None:
    change, sums, said = DAMAGES[damage]
    other = rewritten(fresh.parent / "pack.zip", change, sums=sums)
    with pytest.raises(StudyError, match=said) as raised:
        archive.unpack(other)
    assert str(other) in str(raised.value)
    assert not (fresh / "data/network").exists()


def test_archives_that_are_none_are_refused(fresh: Path) -> None:
    source = fresh.parent / "pack.zip"
    data, other = source.read_bytes(), fresh.parent / "other.zip"
    with pytest.raises(StudyError, match="is missing"):
        archive.unpack(other)
    for cut in (b"", b"no zip", data[: len(data) // 2], data[len(data) // 2 :]):
        other.write_bytes(cut)
        with pytest.raises(StudyError, match="damaged or no archive"):
            archive.unpack(other)
    with pytest.raises(StudyError, match="a file is compressed"):
        archive.unpack(rewritten(source, lambda content: None, compression=zipfile.ZIP_DEFLATED))
    with warnings.catch_warnings(), zipfile.ZipFile(source, "a") as twice:
        warnings.simplefilter("ignore")
        twice.writestr("data/network", "weights\n")
    with pytest.raises(StudyError, match="a file is there twice"):
        archive.unpack(source)


@pytest.mark.parametrize("place", range(0, 1100, 97))
def test_a_flipped_bit_is_found_or_harmless(fresh: Path, place: int) -> None:
    data = bytearray((fresh.parent / "pack.zip").read_bytes())
    data[place % len(data)] ^= 4
    (fresh.parent / "other.zip").write_bytes(data)
    try:
        archive.unpack(fresh.parent / "other.zip")
    except StudyError:
        assert not (fresh / "data/network").exists()
    else:
        assert Repo().status() == {}


def test_links_lead_nowhere(fresh: Path) -> None:
    (fresh.parent / "elsewhere").mkdir()
    shutil.rmtree(fresh / "data")
    (fresh / "data").symlink_to(fresh.parent / "elsewhere")
    with pytest.raises(StudyError):
        archive.unpack(fresh.parent / "pack.zip")
    assert not list((fresh.parent / "elsewhere").iterdir())


@pytest.mark.parametrize("folder", ["data/banks", "data/banks/own"])
@pytest.mark.parametrize("where", ["../elsewhere", "elsewhere"])
def test_links_within_an_output_lead_nowhere(fresh: Path, folder: str, where: str) -> None:
    elsewhere, link = fresh / where, fresh / folder
    elsewhere.mkdir()
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(elsewhere.resolve())
    with pytest.raises(StudyError, match=f"{folder}.* leads to .*elsewhere.*: put a folder"):
        archive.unpack(fresh.parent / "pack.zip")
    assert not list(elsewhere.iterdir())
    assert not (fresh / "data/network").exists()


@pytest.mark.parametrize("stray", ["data/banks/old", "data/banks/own/c", "data/banks/own/a/b", "data/network/a"])
def test_a_file_that_no_stage_made_is_named(fresh: Path, stray: str) -> None:
    (fresh / stray).parent.mkdir(parents=True)
    (fresh / stray).write_text("of mine")
    before = sorted(fresh.rglob("*"))
    with pytest.raises(StudyError, match=f"{stray} is no file of data/.* as dvc.lock has it: remove it"):
        archive.unpack(fresh.parent / "pack.zip")
    assert [path for path in sorted(fresh.rglob("*")) if ".dvc" not in path.parts] == [p for p in before if ".dvc" not in p.parts]


def test_what_dvc_does_not_see_is_neither_packed_nor_in_the_way(study: Path) -> None:
    (study / ".dvcignore").write_text("*.partial\n.ipynb_checkpoints/\n")
    target = study.parent / "pack.zip"
    for hidden in ("data/banks/own/a.4711.partial", "data/banks/.ipynb_checkpoints/a"):
        (study / hidden).parent.mkdir(exist_ok=True)
        (study / hidden).write_text("left")
    assert archive.pack(target) == 4
    assert archive.unpack(target) == 4
    with zipfile.ZipFile(target) as packed:
        assert set(packed.namelist()) == {"data/network", "data/banks/own/a", "data/banks/own/b.c", "cards/data/network.md", "SHA256SUMS"}


def test_damaged_compressed_sums_are_refused(fresh: Path) -> None:
    other = rewritten(fresh.parent / "pack.zip", lambda content: None, compression=zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(other) as archived:
        sums = archived.getinfo("SHA256SUMS")
    start = sums.header_offset + 30 + len("SHA256SUMS")  # after the local header and the name
    data = bytearray(other.read_bytes())
    data[start : start + 8] = b"\xff" * 8
    other.write_bytes(data)
    with pytest.raises(StudyError, match="a file is compressed"):
        archive.unpack(other)


@pytest.mark.parametrize("words", [["pack", "p.zip"], ["unpack", "p.zip"], ["dag"]])
def test_outside_a_study_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert re.fullmatch("error: DVC: you are not inside of a DVC repository.*: run in the study's folder, .*\n", capsys.readouterr().err)


def test_a_lock_with_marks_of_a_merge_is_said_in_a_line(fresh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (fresh / "dvc.lock").write_text("<<<<<<< ours\n" + (fresh / "dvc.lock").read_text())
    assert main(["unpack", str(fresh.parent / "pack.zip")]) == 2
    assert re.fullmatch("error: DVC: .*'dvc.lock'.*\n", capsys.readouterr().err)


def test_owner_and_hash() -> None:
    known = dict.fromkeys(["data/a", "data/b"])
    assert owner("data/b/c/d", known) == "data/b"
    for name in ("data", "data/a/../b", "data//a", "./data/a", "data/ab", ""):
        with pytest.raises(StudyError):
            owner(name, known)
    sums = {"data/b/y": "1" * 32, "data/b/x/z": "2" * 32}
    listing = '[{"md5": "' + "2" * 32 + '", "relpath": "x/z"}, {"md5": "' + "1" * 32 + '", "relpath": "y"}]'
    assert hash_of("data/b", sums) == hashlib.md5(listing.encode()).hexdigest() + ".dir"
