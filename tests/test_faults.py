"""A share of the faults, and the judge: it must see each way to fail."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from regen_lib.core.errors import StudyError
from tests.faults import campaign, runner
from tests.faults.fault import Fault, LeftoverError, Verdict, WrongError, judge, refusal

SECONDS = 12.0


def raising(error: BaseException) -> Callable[[Path], None]:
    def attempt(project: Path) -> None:
        raise error

    return attempt


def there_for_a_while(project: Path) -> None:
    Path("../x").write_text("x")
    Path("../x").unlink()


def orphaned(project: Path) -> None:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


ATTEMPTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing happens": (lambda project: None, "right"),
    "a file in the project": (lambda project: Path("a.txt").write_text("x"), "right"),
    "refused": (raising(StudyError("a.txt is damaged: delete it")), "refused"),
    "no remedy": (raising(StudyError("a.txt is damaged")), "message"),
    "a remedy in brackets": (raising(StudyError("a.txt is damaged (delete it)")), "message"),
    "another file": (raising(StudyError("b.txt is damaged: delete it")), "message"),
    "three lines": (raising(StudyError("a.txt is damaged:\ndelete it\nor not")), "message"),
    "long": (raising(StudyError(f"a.txt is damaged: delete it {'.' * 600}")), "message"),
    "wrong": (raising(WrongError("another result")), "wrong"),
    "raw": (raising(KeyError("metadata")), "traceback"),
    "a plain value error": (raising(ValueError("a.txt: delete it")), "traceback"),
    "exit": (raising(SystemExit(0)), "traceback"),
    "beside the project": (lambda project: Path("../x").write_text("x"), "outside"),
    "a folder far up": (lambda project: Path("../../../../x").mkdir(), "outside"),
    "another's file changed": (lambda project: Path("../../../../precious.txt").write_text("mine"), "outside"),
    "another's file gone": (lambda project: Path("../../../../precious.txt").unlink(), "outside"),
    "outside for a while": (there_for_a_while, "outside"),
    "refused, and written outside": (
        lambda project: (Path("../x").write_text("x"), raising(StudyError("a.txt: delete it"))(project)),
        "outside",
    ),
    "half a file": (lambda project: Path("a.txt.123.partial").write_text("x"), "leftover"),
    "said to be left": (raising(LeftoverError("a.txt")), "leftover"),
    "a loop": (lambda project: time.sleep(30), "hang"),
}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_the_judge(name: str, tmp_path: Path) -> None:
    attempt, expected = ATTEMPTS[name]
    here = Path.cwd()
    assert judge(Fault("x", name, attempt, names="a.txt", bound=0.5), tmp_path).outcome == expected
    assert Path.cwd() == here


def test_attempts_that_take_their_process_with_them_or_leave_others_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.faults.fault.GRACE", 0.3)
    monkeypatch.setattr(runner, "PATIENCE", 0.5)

    def deaf(project: Path) -> None:

        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        time.sleep(30)

    attempts: dict[str, Callable[[Path], object]] = {
        "right": lambda project: None,
        "orphan": orphaned,
        "died": lambda project: os.kill(os.getpid(), signal.SIGKILL),
        "hang": deaf,
    }
    faults = [Fault("x", name, attempt, bound=0.5) for name, attempt in attempts.items()] * 2
    found = [(fault.name, verdict.outcome) for fault, verdict in runner.run(faults, 2)]
    assert sorted(found) == sorted((fault.name, fault.name) for fault in faults)


def test_a_message_of_two_lines_is_enough() -> None:
    assert refusal("params.yaml has 1 mistakes:\n  run.processes: give at least 1", "params.yaml").held
    assert not refusal("", "").held


def test_the_table_counts_each_attempt_once() -> None:
    def fault(kind: str) -> Fault:
        return Fault(kind, "x", lambda project: None)

    found = [
        (fault("a"), Verdict("right")),
        (fault("b"), Verdict("refused")),
        (fault("a"), Verdict("wrong")),
        (fault("a"), Verdict("died")),
    ]
    rows = campaign.table(found).set_index("kind")
    assert rows.loc["a"].to_dict() == {"tried": 3, "held": 1, "right": 1, "refused": 0, "failed": 2}
    assert rows.loc["b"].to_dict() == {"tried": 1, "held": 1, "right": 0, "refused": 1, "failed": 0}
    assert rows.loc["all"].to_dict() == {"tried": 4, "held": 2, "right": 1, "refused": 1, "failed": 2}
    assert "| all | 4 | 2 | 1 | 1 | 2 |" in campaign.markdown(campaign.table(found))


def test_only_kinds_that_were_tried_whole_get_new_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    faults = [Fault(kind, str(number), lambda project: None) for kind in "ab" for number in range(2)]
    monkeypatch.setattr(campaign, "TABLE", tmp_path / "table.csv")
    monkeypatch.setattr(campaign, "PAGE", tmp_path / "page.md")
    campaign.PAGE.write_text("<!-- faults: written by `python -m tests.faults` -->\n<!-- end of faults -->\n")
    right, wrong = Verdict("right"), Verdict("wrong")
    campaign.keep([(faults[0], right), (faults[1], wrong), (faults[2], wrong)], faults)
    assert pd.read_csv(campaign.TABLE)[["kind", "tried", "failed"]].to_numpy().tolist() == [["a", 2, 1], ["all", 2, 1]]
    campaign.keep([(fault, right) for fault in faults[2:]], faults)
    campaign.keep([(faults[0], wrong)], faults)
    rows = pd.read_csv(campaign.TABLE)
    assert rows[["kind", "tried", "failed"]].to_numpy().tolist() == [["a", 2, 1], ["b", 2, 0], ["all", 4, 1]]
    assert campaign.markdown(rows) in campaign.PAGE.read_text()


def test_the_docs_show_the_table() -> None:
    assert campaign.markdown(pd.read_csv(campaign.TABLE)) in campaign.PAGE.read_text(encoding="utf-8")


def test_a_share_of_every_kind_holds() -> None:
    """Drawn and judged as in the whole run, in a process of its own, which may fork."""
    command = [sys.executable, "-m", "tests.faults", "--share", str(SECONDS), "--jobs", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-1000:]


def test_the_table_has_every_fault_of_every_kind() -> None:
    """A few cannot be tried on every machine, or by every user."""
    there, kept = Counter(fault.kind for fault in campaign.every(0)), pd.read_csv(campaign.TABLE).set_index("kind")
    tried = kept.tried.drop("all").to_dict()
    for kind in ("environments", "limits", "full disk"):
        assert abs(there.pop(kind) - tried.pop(kind)) <= 5
    assert dict(there) == tried
    assert not kept.failed.any()
