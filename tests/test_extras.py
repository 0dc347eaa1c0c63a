"""Without the optional packages: everything public works, and what needs one names the command that brings it."""

import json
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from regen_lib.core.errors import StudyError
from regen_lib.core.extras import need
from regen_lib.study.__main__ import main
from tests.repository import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
OPTIONAL = ("sklearn", "scipy", "pywt", "h5py", "matplotlib", "seaborn", "pydantic", "yaml", "papermill", "dvc", "psutil", "nbformat")
BLOCK = f"import sys\nsys.modules.update(dict.fromkeys({OPTIONAL!r}))  # None: importing it is an ImportError\n"


def without(code: str, tmp_path: Path) -> str:
    """What ``code`` prints in a process of its own that has none of the optional packages."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", BLOCK + textwrap.dedent(code)]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nowhere_to_be_found", None)
    with pytest.raises(StudyError, match=r"^a feature needs the package: pip install 'regen_lib\[some\]'"):
        need("nowhere_to_be_found", what="a feature", package="the package", extra="some")
    assert need("json", what="a feature", package="json", extra="some") is json


def test_every_module_is_there_but_those_that_need_a_package(tmp_path: Path) -> None:
    """And each of those says what to install."""
    refused = json.loads(
        without(
            """
            import json, pkgutil
            from importlib import import_module
            import regen_lib as rl
            refused = {}
            for module in pkgutil.walk_packages(rl.__path__, "regen_lib."):
                if not module.name.startswith("regen_lib.study"):
                    try:
                        import_module(module.name)
                    except rl.StudyError as error:
                        refused[module.name] = str(error)
            for name in rl.__all__:
                getattr(rl, name)
            print(json.dumps(refused))
            """,
            tmp_path,
        )
    )
    commands = {name: said.split(" (")[0] for name, said in refused.items()}
    assert commands == {
        "regen_lib.defenses.pixel_deflection": "Pixel Deflection needs pywavelets: pip install 'regen_lib[defenses]'",
        "regen_lib.weights._matlab": "reading .mat files needs scipy: pip install 'regen_lib[weights]'",
        "regen_lib.weights.matconvnet": "reading .mat files needs scipy: pip install 'regen_lib[weights]'",
    }


def test_the_library_works_without_them(tmp_path: Path) -> None:
    """One network through an attack, units, files, masking, a defence of each sort and the table."""
    without(
        """
        from pathlib import Path
        import torch
        import regen_lib as rl

        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 36, 4))
        network = rl.from_pixels(model, (0.5,) * 3, (0.25,) * 3)
        pixels = torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8)
        images, recipe, layers = rl.Images(pixels, rl.predict(network, pixels)), rl.Recipe(epochs=1, rate=0.01, batch=8), ["network.0"]
        bank = rl.spgd(network, pixels, rl.Threat(torch.inf, 40), seed=0, count=2)
        rl.save_bank(Path("bank.safetensors"), bank)
        assert rl.load_bank(Path("bank.safetensors"), network=network).perturbations.equal(bank.perturbations)
        units = rl.train_units(network, images, bank, layers, recipe=recipe, synthetic=4)
        rl.save_units(Path("units.safetensors"), units, network=network, layers=layers, ratio=0.5, width=1.0)
        defended = {"undefended": network, "units": rl.load_units(Path("units.safetensors"), network)}
        rl.masked_predictions(network, "network.0", rl.rank(model[0]), pixels, bank.perturbations, torch.zeros(16, dtype=torch.long))
        defended["jpeg"] = rl.defend("jpeg", network, images, bank, quality=50)
        defended["prn"] = rl.defend("prn", network, images, bank, recipe=recipe, maps=4, blocks=1)
        print(rl.evaluate(defended, images, {"spgd": bank}))
        import regen_lib.defenses.prn_det  # needs none of them
        try:
            rl.defend("pixel_deflection", network, images, bank)
        except rl.StudyError as error:
            assert "pip install 'regen_lib[defenses]'" in str(error), error
        else:
            raise AssertionError("pixel_deflection without its package")
        """,
        tmp_path,
    )


@pytest.mark.parametrize(("suffix", "package"), [(".h5", "h5py"), (".mat", "scipy")])
def test_a_released_file_names_its_reader(suffix: str, package: str, tmp_path: Path) -> None:
    said = without(
        f"""
        from pathlib import Path
        from regen_lib.core.errors import StudyError
        from regen_lib.released.arrays import read_array
        Path("v{suffix}").write_bytes(b"an array")
        try:
            read_array(Path("v{suffix}"))
        except StudyError as error:
            print(error)
        """,
        tmp_path,
    )
    assert said.startswith(f"reading {suffix} files needs {package}: pip install 'regen_lib[weights]'")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("regen_lib.study", ["check"]),
        ("regen_lib.study", ["repro", "report"]),
        ("regen_lib.study", ["run", "n", "--as=x", "--section=y"]),
        ("regen_lib.study.report.minutes", []),
    ],
)
def test_the_study_names_its_extra(module: str, words: list[str], tmp_path: Path) -> None:
    said = without(
        f"""
        import contextlib, io, runpy
        sys.argv, said = ["x", *{words!r}], io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                runpy.run_module({module!r}, run_name="__main__")
        except SystemExit as end:
            print(end.code, said.getvalue())
        """,
        tmp_path,
    )
    assert re.match(r"2 error: the \w+ needs [^:]*: pip install 'regen_lib\[study\]' \(.*\)\n", said)
    assert len(said.splitlines()) == 2


def test_a_module_of_our_own_that_is_missing_is_no_missing_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "regen_lib.study.dag", None)
    monkeypatch.delattr("regen_lib.study.dag", raising=False)
    with pytest.raises(ModuleNotFoundError):
        main(["dag"])


def test_the_extras_bring_what_they_are_named_for() -> None:
    extras = {name: {line.split(">")[0] for line in lines} for name, lines in PROJECT["optional-dependencies"].items()}
    assert {"h5py", "scipy"} <= extras["weights"]
    assert extras["defenses"] == {"pywavelets"}
