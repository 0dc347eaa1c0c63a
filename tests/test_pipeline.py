"""dvc.yaml against the notebooks' imports; README and docs/ against metrics/; the whole pipeline, twice, on the smoke profile."""

import itertools
import json
import os
import re
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
from regen_lib.study.folder import prepare
from regen_lib.study.params import load_params
from regen_lib.study.report import pages, readme, results
from tests.pipeline import dependencies, smoke, stages
from tests.repository import REPOSITORY

DVC = [sys.executable, "-m", "dvc"]


def test_every_stage_depends_on_its_own_stamp() -> None:
    """Beside it on what other stages make, and nothing else: nobody types a list of code."""
    for name, (command, deps) in dependencies().items():
        if name not in ("code", "raw"):
            own = [dep for dep in deps if dep.startswith("data/code")]
            assert own == [f"data/code/{name.replace('@', '-')}.json"], name
            assert all(dep.startswith(("data/", "metrics/")) for dep in deps), name
            assert "report" in command or f"--as {name.replace('@', '-')} " in command


def test_a_rival_waits_for_what_it_is_built_on() -> None:
    rows = yaml.safe_load((REPOSITORY / "params.yaml").read_text())["rivals"]
    assert all(f"data/{row['built_on']}" in dependencies()[f"rivals@{name}"][1] for name, row in rows.items())


def test_the_pipeline_fits_on_a_few_screens() -> None:
    assert len((REPOSITORY / "dvc.yaml").read_text().splitlines()) <= 400
    assert (REPOSITORY / "dvc.lock").stat().st_size <= 120_000


def test_every_output_is_made_once_and_every_input_somewhere() -> None:
    shown = subprocess.run([*DVC, "dag", "--outs", "--dot"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr


STUDIES = [REPOSITORY / folder for folder in readme.PAGES]  # those whose tables the pages show
TABLES = [path for study in STUDIES for name in ("table*", "defenses", "hardened") for path in sorted(study.glob(f"metrics/{name}.csv"))]


@pytest.mark.parametrize("table", TABLES, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_tables_are_tidy_and_complete(table: Path) -> None:
    rows = pd.read_csv(table)
    assert tuple(rows.columns[: len(COLUMNS)]) == COLUMNS
    assert not rows.drop(columns="paper", errors="ignore").isna().any().any()
    assert ((rows.ci_low <= rows[rows.metric.iloc[0]]) & (rows[rows.metric.iloc[0]] <= rows.ci_high)).all()
    recomputed = (rows.clean_accuracy + rows.accuracy) / 2
    baseline = rows[rows.defense == "undefended"].groupby("network").clean_accuracy.first()
    assert (recomputed / rows.network.map(baseline) - rows.restoration).abs().max() < 2e-4
    assert not rows.duplicated(["network", "defense", "attack", "clip"]).any()


@pytest.mark.parametrize("study", STUDIES, ids=list(readme.PAGES))
def test_the_lock_has_the_stages_of_the_pipeline_and_no_others(study: Path) -> None:
    """DVC keeps the rows of stages that are no more."""
    assert set(yaml.safe_load((study / "dvc.lock").read_text())["stages"]) == set(dependencies(study))


@pytest.mark.parametrize("study", STUDIES, ids=list(readme.PAGES))
def test_no_cell_of_the_comparison_is_empty(study: Path) -> None:
    """Every network, every defence, every attack, white-box ones too; hardened units on the networks that have them."""
    params = load_params(study / "params.yaml")
    networks, hardened = params["study"]["networks"], params["secondary"]["hardened"]
    defended = {*itertools.product(networks, ["undefended", "ours", *params["rivals"]]), *itertools.product(hardened, ["hardened"])}
    attacks = {"uap", "uap_l2", "mean_unseen", params["generalization"]["control"], *params["generalization"]["attacks"]}
    for name, columns in (("defenses", attacks), ("table6_defenses", set(params["comparison"]["white_box"]))):
        rows = pd.read_csv(study / f"metrics/{name}.csv")
        found = set(zip(rows.network, rows.defense, rows.attack, strict=True))
        assert found == {(*pair, attack) for pair in defended for attack in columns}
        assert len(found) == len(rows)


@pytest.mark.parametrize("folder", readme.PAGES)
def test_pages_show_what_the_pipeline_wrote(folder: str) -> None:
    study = REPOSITORY / folder
    blocks = readme.blocks(study, folder, load_params(study / "params.yaml"))
    for page, parts in readme.PAGES[folder].items():
        text = (REPOSITORY / page).read_text()
        for part in parts:
            assert pages.insert(text, part, blocks[part]) == text, f"{page}: {part}"
    assert json.loads((study / "metrics/summary.json").read_text()) == readme.summary(study / "metrics")


def test_report_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="once each"):
        pages.insert("no markers", "results", "block")
    with pytest.raises(StudyError, match=r"lacks banks, choices, clipping"):
        readme.render(tmp_path)
    for name in results.FILES:
        shutil.copy(REPOSITORY / f"metrics/{name}.csv", tmp_path)
    table = pd.read_csv(tmp_path / "table3.csv")
    table[table.defense != "ours"].to_csv(tmp_path / "table3.csv", index=False)
    with pytest.raises(StudyError, match=r"table3.csv has 0 rows for caffenet, uap_l2, ours"):
        readme.render(tmp_path)


def small(target: Path) -> Path:
    """A folder in which the study runs on the smoke profile."""
    prepare(target, REPOSITORY / "params.yaml", REPOSITORY / "profiles/smoke.yaml")
    return target


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "regen_lib.study", *words]


def environment() -> dict[str, str]:
    """For processes that run in another folder: this repository's code, this interpreter."""
    kept = {name: value for name, value in os.environ.items() if name not in ("REGEN_STAGE", "TRITON_INTERPRET")}
    return {**kept, "PYTHONPATH": str(REPOSITORY), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def repro(study: Path, *targets: str) -> str:
    """Bring the study up to date; what was said."""
    done = subprocess.run(command("repro", *targets), cwd=study, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def kill_in_training(study: Path, stage: str) -> None:
    """Start a stage and kill its whole process group once a training loop shows progress."""
    dvc = [*DVC, "repro", "--single-item", stage]
    with subprocess.Popen(
        dvc, cwd=study, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "vgg16 ours 1/" in line:
                os.killpg(process.pid, signal.SIGKILL)
                break
        process.stdout.read()  # until the kernel has noticed and closed its end
    assert process.returncode == -signal.SIGKILL


@pytest.mark.pipeline
def test_the_whole_pipeline_twice(tmp_path: Path) -> None:
    study = small(tmp_path)
    lines = [line for line in repro(study).splitlines() if line.startswith("stage")]
    assert len(lines) == len(dependencies(smoke())) - 1  # `code` runs before
    assert re.fullmatch(r"stage 1 of \d+ · raw · \d+ s · \d+ min to go", lines[0])
    assert len(pd.read_csv(study / "metrics/table1.csv")) == 3 * 2 * 3
    assert len(list((study / "executed").glob("*.ipynb"))) == len(stages(smoke()))
    start = time.monotonic()
    assert repro(study) == "everything is up to date\n"
    assert time.monotonic() - start < 180  # 15 s on a quiet machine
    params = (study / "params.yaml").read_text()
    (study / "params.yaml").write_text(
        params.replace("evaluation:\n  images: 500\n  clip: false", "evaluation:\n  images: 500\n  clip: true")
    )
    assert [name for name in changed_stages(study) if name != "report"] == ["choices", "evaluation", "generalization"]
    (study / "params.yaml").write_text(params)
    units = study / "data/units/ours/vgg16.safetensors"
    before = units.read_bytes()
    units.unlink()
    shutil.rmtree(study / ".dvc/cache")  # neither the cache nor the run cache may answer
    kill_in_training(study, "units@vgg16")
    repro(study, "units@vgg16")
    assert units.read_bytes() == before


def changed_stages(study: Path) -> list[str]:
    """The stages that `repro` would look at."""
    ask = "from regen_lib.study import schedule\nimport subprocess\nsubprocess.run([*schedule.DVC, 'repro', '-sq', 'code'], check=True)\n"
    ask += "print(*schedule.planned([]).graph)"
    done = subprocess.run([sys.executable, "-c", ask], cwd=study, env=environment(), capture_output=True, text=True, check=True)
    return sorted(done.stdout.split())
