"""What the stages cost: each leaves its CPU time and peak memory in ``build/usage``; here they become a table.

``python -m regen_lib.study.report.minutes`` writes ``metrics/minutes.csv``, and what notebook 08 measured of each defence at inference as
``metrics/inference.csv``, and the pages' lines on them, after a ``make repro``. Times differ from run to run: no stage has them as
output.
"""

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import yaml

from regen_lib.core.errors import StudyError
from regen_lib.core.storage import write_table
from regen_lib.study.report import readme
from regen_lib.study.report.machine import processor
from regen_lib.study.stage import USAGE


def collect(folder: Path, lock: Path) -> pd.DataFrame:
    """One row a stage (and network) of ``dvc.lock``: CPU seconds, peak memory, machine. :class:`StudyError` where nothing has run."""
    rows = []
    for name in sorted(yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"] if lock.is_file() else []):
        stage, _, item = name.partition("@")
        path = folder / f"{name.replace('@', '-')}.json"
        if path.is_file():
            used = json.loads(path.read_text(encoding="utf-8"))
            rows.append({"stage": stage, "network": item, **{key: used[key] for key in ("cpu_seconds", "peak_mb")}})
    if not rows:
        raise StudyError(f"{folder} holds no stage of {lock}: run `make repro` first")
    return pd.DataFrame(rows).assign(machine=processor())


def main() -> int:
    """Write metrics/minutes.csv and the pages; returns the exit status."""
    try:
        write_table(Path("metrics/minutes.csv"), collect(USAGE, Path("dvc.lock")))
        if (USAGE / "inference.csv").is_file():
            shutil.copy(USAGE / "inference.csv", "metrics/inference.csv")
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return readme.main()


if __name__ == "__main__":
    sys.exit(main())
