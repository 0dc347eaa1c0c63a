"""Stages on all cores: what may start when, what is left to do, and what is said of a failure."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import networkx as nx
import psutil
import pytest
import yaml

from regen_lib.core.errors import StudyError
from regen_lib.study import schedule
from regen_lib.study.schedule import Plan
from tests.repository import REPOSITORY


def plan() -> Plan:
    """a before b and c, both before d; c takes long."""
    return Plan(nx.DiGraph([("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]), {"a": 1.0, "b": 2.0, "c": 10.0, "d": 3.0})


def test_the_longest_way_goes_first() -> None:
    made = plan()
    assert made.ready([]) == ["a"]
    assert made.way["a"] == 1 + 10 + 3
    made.done.add("a")
    assert made.ready([]) == ["c", "b"]
    assert made.ready(["c"]) == ["b"]
    made.done.add("b")
    made.failed.add("c")
    assert made.ready([]) == []


def test_time_to_go_is_what_is_left_in_lanes_or_the_longest_way() -> None:
    made = plan()
    assert made.to_go({}, 1) == 1 + 2 + 10 + 3
    assert made.to_go({}, 2) == 1 + 10 + 3
    made.done |= {"a", "c"}
    assert made.to_go({}, 2) == 2 + 3


def test_an_unknown_stage_takes_what_its_siblings_took() -> None:
    made = Plan(nx.DiGraph(), {"units@a": 10.0, "units@b": 20.0, "images": 1.0})
    assert made.took("units@c") == 15.0
    assert made.took("report") == schedule.UNKNOWN


@pytest.mark.parametrize("damaged", ["", "{", "[]", "null", "{}", '{"seconds": null}', '{"seconds": "long"}', "\udcff"])
def test_a_damaged_time_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: str) -> None:
    monkeypatch.chdir(tmp_path)
    schedule.USAGE.mkdir(parents=True)
    (schedule.USAGE / "units-a.json").write_text('{"seconds": 3}')
    (schedule.USAGE / "units-b.json").write_bytes(damaged.encode(errors="surrogateescape"))
    assert schedule.last_times() == {"units@a": 3.0}
    Path("metrics").mkdir()
    Path("metrics/minutes.csv").write_text("stage,network,cpu_seconds\nunits,b,7\n")
    assert schedule.last_times() == {"units@a": 3.0, "units@b": 7.0}
    Path("metrics/minutes.csv").write_text("<<<<<<< ours\nstage,network,cpu_seconds\nunits,b,7\n")
    assert schedule.last_times() == {"units@a": 3.0}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four stages that write a file each: two beside each other, then one that fails where `fail` is there, then one more."""
    write = f"{sys.executable} -c \"import pathlib, sys, time; time.sleep(1); pathlib.Path('{{0}}').write_text('{{0}}')\""
    fails = (
        f"{sys.executable} -c \"import pathlib, sys; sys.exit(3) if pathlib.Path('fail').exists() else pathlib.Path('c').write_text('c')\""
    )
    stages = {
        "code": {"cmd": write.format("code"), "outs": ["code"]},
        "a": {"cmd": write.format("a"), "deps": ["code"], "outs": ["a"]},
        "b": {"cmd": write.format("b"), "deps": ["code"], "outs": ["b"]},
        "c": {"cmd": fails, "deps": ["a", "b"], "outs": ["c"]},
        "d": {"cmd": write.format("d"), "deps": ["c"], "outs": ["d"]},
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_failure_is_named_and_what_needs_it_does_not_run(study: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (study / "fail").touch()
    assert schedule.repro(2) == 1
    said = capfd.readouterr()
    assert {line.split(" · ")[1] for line in said.out.splitlines()} == {"a", "b", "c"}
    assert "stage 3 of 4 · c · failed" in said.out
    assert "failed: c; its notebook is executed/c.ipynb, what it said build/log/c.log" in said.err
    assert "not run, since what they need failed: d" in said.err
    (study / "fail").unlink()
    assert schedule.repro(2) == 0
    assert [line.split(" · ")[1] for line in capfd.readouterr().out.splitlines()] == ["c", "d"]
    assert schedule.repro(2) == 0
    assert capfd.readouterr().out == "everything is up to date\n"


def test_some_stages_with_what_they_need(study: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert schedule.repro(2, ["a"]) == 0
    assert [line.split(" · ")[1] for line in capfd.readouterr().out.splitlines()] == ["a"]
    assert not (study / "b").exists()
    with pytest.raises(StudyError, match="stage 'z' is unknown"):
        schedule.repro(2, ["z"])


def test_an_unknown_stage_is_refused_before_anything_runs(study: Path) -> None:
    with pytest.raises(StudyError, match="stage 'z' is unknown: `dvc stage list` names them"):
        schedule.repro(2, ["a", "z"])
    assert not (study / "code").exists()
    assert not (study / "dvc.lock").exists()
    assert not (study / schedule.LOGS).exists()


def test_lanes_do_not_change_the_lock(study: Path) -> None:
    assert schedule.repro(2) == 0
    two = yaml.safe_load((study / "dvc.lock").read_text())
    for name in ("a", "b", "c", "d"):
        (study / name).unlink()
    (study / "dvc.lock").unlink()
    assert schedule.repro(1) == 0
    assert yaml.safe_load((study / "dvc.lock").read_text()) == two


def test_ctrl_c_ends_what_runs_and_says_so(study: Path) -> None:
    ask = "import sys\nfrom regen_lib.study import schedule\nsys.exit(schedule.repro(2))"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", ask]
    running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until = time.monotonic() + 60
    while not all((study / f"build/log/{name}.log").is_file() and (study / f"build/log/{name}.log").stat().st_size for name in "ab"):
        assert running.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)
    started = psutil.Process(running.pid).children()
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert errors == "stopped: a, b; what had ended is kept, the next run goes on from there\n"
    assert len(started) == 2
    assert not any(process.is_running() for process in started)
