"""What the stages cost: each leaves its CPU time and peak memory in ``build/usage``; here they become a table.

``python -m regen_lib.study.report.minutes`` writes ``metrics/minutes.csv``, and what notebook 08 measured of each defence at inference as
``metrics/inference.csv``, and the pages' lines on them, after a ``make repro``. Times differ from run to run: no stage has them as
output.
"""

import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from regen_lib.core.errors import StudyError
from regen_lib.core.extras import need
from regen_lib.core.storage import write_table
from regen_lib.study.report.machine import processor

MEASURED = ("cpu_seconds", "peak_mb")
STUDY = {"what": "the report", "package": "the study's packages", "extra": "study"}


def collect(folder: Path, lock: Path) -> pd.DataFrame:
    """One row per stage (and network) of ``dvc.lock``: CPU seconds, peak memory, machine.

    :class:`StudyError` where nothing has run, or a file is damaged.
    """
    rows = []
    for name in sorted(need("regen_lib.study.lock", **STUDY).stages(lock)):
        stage, _, item = name.partition("@")
        path = folder / f"{name.replace('@', '-')}.json"
        if path.is_file():
            rows.append({"stage": stage, "network": item, **used(path, name)})
    if not rows:
        raise StudyError(f"{folder} holds no stage of {lock}: run `make repro` first")
    return pd.DataFrame(rows).assign(machine=processor())


def used(path: Path, stage: str) -> dict[str, float]:
    """What a stage used, as :func:`regen_lib.study.stage.run` left it."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        found = {key: float(content[key]) for key in MEASURED}
    except (ValueError, TypeError, KeyError) as error:
        raise damaged(path, stage) from error
    if not all(map(math.isfinite, found.values())):
        raise damaged(path, stage)
    return found


def damaged(path: Path, stage: str) -> StudyError:
    """What is to be done where nobody can read what a stage used."""
    return StudyError(f"{path} lacks {' or '.join(MEASURED)}, or is damaged: run `dvc repro --single-item --force {stage}`")


def main() -> int:
    """Write metrics/minutes.csv and the pages; returns the exit status."""
    try:
        readme, usage = need("regen_lib.study.report.readme", **STUDY), need("regen_lib.study.stage", **STUDY).USAGE
        write_table(Path("metrics/minutes.csv"), collect(usage, Path("dvc.lock")))
        if (usage / "inference.csv").is_file():
            shutil.copy(usage / "inference.csv", "metrics/inference.csv")
        status: int = readme.main()
    except (OSError, StudyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return status


if __name__ == "__main__":
    sys.exit(main())
