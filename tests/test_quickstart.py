"""The README's quickstart, as it is printed there, run in a process of its own."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.repository import REPOSITORY

BLOCK = re.compile(r"<!-- quickstart: .*?-->\n```python\n(?P<code>.*?)```\n+```\n(?P<output>.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def printed() -> dict[str, str]:
    """The quickstart's code and the output shown below it."""
    found = BLOCK.search((REPOSITORY / "README.md").read_text())
    assert found
    return found.groupdict()


def table(text: str) -> pd.DataFrame:
    """What the quickstart prints: a row a measure, a column a network; here a row a network."""
    return pd.read_csv(io.StringIO(text), sep=r"\s+", index_col=0).T


def test_it_is_short(printed: dict[str, str]) -> None:
    assert len(printed["code"].splitlines()) <= 20


def test_it_gives_the_table_that_the_readme_shows(printed: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "quickstart.py").write_text(printed["code"])
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "quickstart.py"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 0, run.stderr
    found, shown = table(run.stdout), table(printed["output"])
    assert list(found.index) == list(shown.index) == ["undefended", "units"]
    assert list(found.columns) == list(shown.columns)
    numbers = found.drop(columns=["attack", "norm"]).astype(float)
    assert (numbers.images == 64).all()
    assert ((numbers.ci_low <= numbers.restoration) & (numbers.restoration <= numbers.ci_high)).all()
    assert numbers.restoration["units"] > numbers.restoration["undefended"] + 0.05, run.stdout
    expected = (numbers.clean_accuracy + numbers.accuracy) / 2 / numbers.clean_accuracy["undefended"]
    assert (numbers.restoration - expected).abs().max() < 2e-3  # three printed digits
