"""dvc.yaml against the notebooks' imports; the README against metrics/; the whole pipeline, twice, on the smoke profile."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from regen_lib.core.errors import StudyError
from regen_lib.evaluation.evaluate import COLUMNS
from regen_lib.study.params import load_params
from regen_lib.study.report import readme
from tests.pipeline import Stage, stages
from tests.repository import REPOSITORY

DVC = [sys.executable, "-m", "dvc"]


@pytest.mark.parametrize("stage", stages(), ids=lambda stage: stage.name)
def test_every_stage_depends_on_its_code(stage: Stage) -> None:
    notebooks = {f"notebooks/{stage.notebook}.ipynb"} if stage.notebook else set()
    assert {dep for dep in stage.deps if not dep.startswith(("data/", "metrics/"))} == {"regen_lib"} | notebooks


def test_a_rival_waits_for_what_it_is_built_upon() -> None:
    rows = yaml.safe_load((REPOSITORY / "profiles/laptop.yaml").read_text())["rivals"]
    waits = {stage.rival: f"data/{rows[stage.rival]['upon']}" in stage.deps for stage in stages() if stage.name.startswith("rivals@")}
    assert waits == dict.fromkeys(rows, True)


def test_every_output_is_made_once_and_every_input_somewhere() -> None:
    shown = subprocess.run([*DVC, "dag", "--outs", "--dot"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr


TABLES = sorted([*(REPOSITORY / "metrics").glob("table*.csv"), *(REPOSITORY / f"metrics/{name}.csv" for name in ("defenses", "hardened"))])


@pytest.mark.parametrize("table", TABLES, ids=lambda path: path.stem)
def test_tables_are_tidy_and_complete(table: Path) -> None:
    rows = pd.read_csv(table)
    assert tuple(rows.columns[: len(COLUMNS)]) == COLUMNS
    assert not rows.drop(columns="paper", errors="ignore").isna().any().any()
    assert ((rows.ci_low <= rows[rows.metric.iloc[0]]) & (rows[rows.metric.iloc[0]] <= rows.ci_high)).all()
    recomputed = (rows.clean_accuracy + rows.accuracy) / 2
    baseline = rows[rows.defense == "undefended"].groupby("network").clean_accuracy.first()
    assert (recomputed / rows.network.map(baseline) - rows.restoration).abs().max() < 2e-4
    assert not rows.duplicated(["network", "defense", "attack", "clip"]).any()


def test_no_cell_of_the_comparison_is_empty() -> None:
    """Every network, every defence, every attack, white-box ones too."""
    params = load_params(REPOSITORY / "params.yaml")
    defenses = {"undefended", "ours", *params["rivals"]}
    attacks = {"uap", "uap_l2", "mean_all", params["generalization"]["control"], *params["generalization"]["attacks"]}
    for name, columns in (("defenses", attacks), ("table6_defenses", set(params["comparison"]["white_box"]))):
        rows = pd.read_csv(REPOSITORY / f"metrics/{name}.csv")
        found = set(zip(rows.network, rows.defense, rows.attack, strict=True))
        assert found == set(itertools.product(params["study"]["networks"], defenses, columns))
        assert len(found) == len(rows)


def test_readme_shows_what_the_pipeline_wrote() -> None:
    text = (REPOSITORY / "README.md").read_text()
    assert readme.update(text, REPOSITORY / "metrics", load_params(REPOSITORY / "params.yaml")) == text
    assert json.loads((REPOSITORY / "metrics/summary.json").read_text()) == readme.summary(REPOSITORY / "metrics")


def test_report_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="once each"):
        readme.insert("no markers", "results", "block")
    with pytest.raises(StudyError, match=r"lacks banks, choices, clipping"):
        readme.render(tmp_path)
    for name in readme.FILES:
        shutil.copy(REPOSITORY / f"metrics/{name}.csv", tmp_path)
    table = pd.read_csv(tmp_path / "table3.csv")
    table[table.defense != "ours"].to_csv(tmp_path / "table3.csv", index=False)
    with pytest.raises(StudyError, match=r"table3.csv has 0 rows for caffenet, uap_l2, ours"):
        readme.render(tmp_path)


def copy_of_the_study(target: Path) -> Path:
    """The repository's tracked and new files in a folder of their own, on the smoke profile."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (REPOSITORY / name).is_file() and name != "dvc.lock":
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, target / name)
    if (REPOSITORY / "data/raw").is_dir():
        shutil.copytree(REPOSITORY / "data/raw", target / "data/raw")
    shutil.copy(REPOSITORY / "profiles/smoke.yaml", target / "params.yaml")
    subprocess.run(["git", "init", "-q"], cwd=target, check=True)
    return target


def repro(study: Path, *arguments: str) -> str:
    """Run ``dvc repro`` there; its output."""
    with started(study, *arguments) as process:
        output = process.communicate()[0]
    assert process.returncode == 0, output[-3000:]
    return output


def started(study: Path, *arguments: str) -> subprocess.Popen[str]:
    """``dvc repro`` there, in a process group of its own."""
    environment = {**os.environ, "PYTHONPATH": str(study), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for name in ("REGEN_STAGE", "TRITON_INTERPRET"):  # the second is for tests of kernels
        environment.pop(name, None)
    command, out, err = [*DVC, "repro", *arguments], subprocess.PIPE, subprocess.STDOUT
    return subprocess.Popen(command, cwd=study, env=environment, stdout=out, stderr=err, text=True, start_new_session=True)


def kill_in_training(study: Path, *arguments: str) -> None:
    """Start ``dvc repro`` and kill its whole process group once a training loop shows progress."""
    with started(study, *arguments) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "vgg16 ours 1/" in line:
                os.killpg(process.pid, signal.SIGKILL)
                break
        process.stdout.read()  # until the kernel has noticed and closed its end
    assert process.returncode == -signal.SIGKILL


@pytest.mark.pipeline
def test_the_whole_pipeline_twice(tmp_path: Path) -> None:
    study = copy_of_the_study(tmp_path)
    assert repro(study).count("Running stage") == len(stages("smoke"))
    assert len(pd.read_csv(study / "metrics/table1.csv")) == 5 * 2 * 5
    start = time.monotonic()
    again = repro(study)
    assert "Running stage" not in again
    assert time.monotonic() - start < 60  # 15 s on a quiet machine
    params = (study / "params.yaml").read_text()
    (study / "params.yaml").write_text(params.replace("clip: false       # the authors", "clip: true       # the authors"))
    planned = subprocess.run([*DVC, "status", "dvc.yaml"], cwd=study, capture_output=True, text=True, check=True).stdout
    assert [line for line in planned.splitlines() if line and not line[0].isspace()] == ["evaluation:"]
    (study / "params.yaml").write_text(params)
    units = study / "data/units/vgg16/ours.safetensors"
    before = units.read_bytes()
    units.unlink()
    shutil.rmtree(study / ".dvc/cache")  # neither the cache nor the run cache may answer
    kill_in_training(study, "--single-item", "units@vgg16")
    assert repro(study, "--single-item", "units@vgg16").count("Running stage") == 1
    assert units.read_bytes() == before
