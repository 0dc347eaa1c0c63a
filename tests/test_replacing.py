"""Files whole or not at all; what killed writers left goes, what living ones hold stays."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from regen_lib.core.errors import StudyError
from regen_lib.core.replacing import remove_abandoned, replace_bytes, replacing
from tests.repository import REPOSITORY

WRITER = """
import sys, time
from pathlib import Path
from regen_lib.core.replacing import replacing
with replacing(Path(sys.argv[1])) as file:
    file.write(b"half of it")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
"""


def writer(path: Path) -> "subprocess.Popen[str]":
    """A process in the middle of writing ``path``."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path: Path) -> None:
    """Of any file of the folder; before the next one is written, as a full disk has no room for both."""
    process = writer(tmp_path / "a.bin")
    (left,) = tmp_path.iterdir()
    assert left.name == f"a.bin.{process.pid}.regen.partial"
    replace_bytes(tmp_path / "b.bin", b"b")
    assert left.exists()  # its writer lives
    process.send_signal(signal.SIGKILL)
    process.wait()
    with replacing(tmp_path / "b.bin") as file:
        assert not left.exists()
        file.write(b"c")
    assert [path.name for path in tmp_path.iterdir()] == ["b.bin"]
    assert (tmp_path / "b.bin").read_bytes() == b"c"


def test_a_process_of_that_number_is_no_proof_that_the_owner_lives(tmp_path: Path) -> None:
    """Numbers of processes come again: only the lock counts. Other names are other programs'."""
    (tmp_path / f"a.bin.{os.getppid()}.regen.partial").write_bytes(b"old")
    for name in ("film.partial", "a.bin.x1.regen.partial", "a.bin.99.partial"):
        (tmp_path / name).write_bytes(b"theirs")
    (tmp_path / "folder.1.regen.partial").mkdir()
    os.mkfifo(tmp_path / "fifo.2.regen.partial")
    remove_abandoned(tmp_path)
    left = ["a.bin.99.partial", "a.bin.x1.regen.partial", "fifo.2.regen.partial", "film.partial", "folder.1.regen.partial"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_a_block_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    replace_bytes(tmp_path / "a.bin", b"old")

    def on_a_full_disk() -> None:
        with replacing(tmp_path / "a.bin") as file:
            file.write(b"new")
            raise OSError(28, "No space left on device")

    with pytest.raises(StudyError, match="cannot be written: No space left on device: make room"):
        on_a_full_disk()
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_writers_of_one_file_wait_for_each_other(tmp_path: Path) -> None:
    """Threads share the temporary name: the file is one writer's or another's, never a mixture."""
    contents = [bytes([index]) * 200_000 for index in range(8)]
    threads = [threading.Thread(target=replace_bytes, args=(tmp_path / "a.bin", content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a.bin").read_bytes() in contents
    assert len(list(tmp_path.iterdir())) == 1


def test_the_file_has_the_usual_permissions(tmp_path: Path) -> None:
    replace_bytes(tmp_path / "a.bin", b"")
    (tmp_path / "b.bin").write_bytes(b"")
    assert (tmp_path / "a.bin").stat().st_mode == (tmp_path / "b.bin").stat().st_mode
