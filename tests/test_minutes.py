"""What a stage has used: CPU time that was really spent, in one table."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from regen_lib.core.errors import StudyError
from regen_lib.study.report import costs, machine, minutes
from regen_lib.study.report.minutes import collect
from regen_lib.study.stage import USAGE, usage


def test_usage_counts_finished_children() -> None:
    before = usage()
    busy = "import time; end = time.process_time() + 1.0\nwhile time.process_time() < end: sum(range(100000))"
    subprocess.run([sys.executable, "-c", busy], check=True)
    assert usage()["cpu_seconds"] - before["cpu_seconds"] == pytest.approx(1.0, abs=0.5)
    before, start = usage(), time.process_time()
    time.sleep(0.2)  # waiting is no work
    assert usage()["cpu_seconds"] - before["cpu_seconds"] == pytest.approx(time.process_time() - start, abs=0.1)
    assert 10 < before["peak_mb"] < 100_000


def test_stages_become_rows(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="run `make repro` first"):
        collect(tmp_path, tmp_path / "dvc.lock")
    for stage, seconds in (("units-vgg16", 3.0), ("units-vgg_f", 4.0), ("evaluation", 5.0), ("gone-vgg16", 9.0)):
        (tmp_path / f"{stage}.json").write_text(json.dumps({"cpu_seconds": seconds, "peak_mb": 100.0}))
    (tmp_path / "dvc.lock").write_text("stages: {units@vgg16: {}, units@vgg_f: {}, evaluation: {}, report: {}}")
    table = collect(tmp_path, tmp_path / "dvc.lock")  # what no longer is a stage does not count
    assert table.groupby("stage").cpu_seconds.sum().to_dict() == {"evaluation": 5.0, "units": 7.0}
    assert list(table.network) == ["", "vgg16", "vgg_f"]
    assert table.machine.str.len().min() > 0


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"cpu_seconds": 1}',
        '{"cpu_seconds": null, "peak_mb": 1}',
        "\udcff",
        '{"cpu_seconds": NaN, "peak_mb": 1}',
    ],
)
def test_a_damaged_file_of_use_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damaged: str
) -> None:
    monkeypatch.chdir(tmp_path)
    USAGE.mkdir(parents=True)
    (USAGE / "units-vgg16.json").write_bytes(damaged.encode(errors="surrogateescape"))
    Path("dvc.lock").write_text("stages: {units@vgg16: {}}")
    assert minutes.main() == 2
    said = "build/usage/units-vgg16.json lacks cpu_seconds or peak_mb, or is damaged"
    assert capsys.readouterr().err == f"error: {said}: run `dvc repro --single-item --force units@vgg16`\n"
    assert not Path("metrics").exists()


@pytest.mark.parametrize("damaged", ["", "stages: [", "other: 1", "stages: 1"])
def test_a_damaged_lock_is_named(tmp_path: Path, damaged: str) -> None:
    (tmp_path / "dvc.lock").write_text(damaged)
    with pytest.raises(StudyError, match=r"dvc\.lock is damaged, or no lock of DVC .*: take git's"):
        collect(tmp_path, tmp_path / "dvc.lock")


@pytest.mark.parametrize(
    ("info", "name"),
    [
        ("model name\t: Fast 7\nflags\t\t: sse avx2 avx512f\n", "Fast 7, AVX-512"),
        ("model name\t: Fast 5\nflags\t\t: sse avx2\nbugs: avx512f\n", "Fast 5, AVX2"),
        ("model name\t: Old\nflags\t\t: sse\n", "Old"),
        (None, "riscv"),
    ],
)
def test_a_processor_is_named_with_its_vectors(info: str | None, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_file", lambda _path: info is not None)
    monkeypatch.setattr(Path, "read_text", lambda _path, **_: info)
    monkeypatch.setattr(machine.platform, "machine", lambda: "riscv")
    assert machine.processor() == name


def test_the_readmes_minutes_with_and_without_the_rivals(tmp_path: Path) -> None:
    rows = [("units", 60.0), ("units", 120.0), ("rivals", 30.0), ("white_box_rivals", 90.0), ("comparison", 240.0), ("white_box", 30.0)]
    table = pd.DataFrame(rows, columns=["stage", "cpu_seconds"]).assign(network="", peak_mb=1500.0, machine="a processor")
    table.to_csv(tmp_path / "minutes.csv", index=False)
    text = costs.minutes(tmp_path)
    assert "comparison 240 · units 180 · white_box_rivals 90" in text
    assert "In all 9.5 CPU-minutes, 3.5 without rivals, white_box_rivals, comparison; peak memory 1.5 GB." in text
