"""The project's version, and the lock file: every package that pyproject.toml asks for, at one version, with its hashes."""

import re
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.repository import REPOSITORY

PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
LOCK = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")


def test_one_version_stands_everywhere() -> None:
    """While the changelog's newest part is unreleased, it is that of development."""
    cited, changes = ((REPOSITORY / name).read_text(encoding="utf-8") for name in ("CITATION.cff", "CHANGELOG.md"))
    (newest, said), *_ = re.findall(r"^## \[(.+?)\]\n+(.*)$", changes, re.MULTILINE)
    released, version = newest != "Unreleased", Version(PROJECT["version"])
    assert f"\nversion: {version}\n" in cited
    assert version.is_devrelease != released
    assert newest == str(version) if released else said == f"What will be {version.base_version}."


def locked() -> dict[str, tuple[Requirement, int]]:
    """Each package of the lock with the count of its hashes."""
    lines = [line for line in LOCK.replace("\\\n", "").splitlines() if not line.startswith("#")]
    found = [
        (Requirement(line.split(" --hash", maxsplit=1)[0].strip()), len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", line)))
        for line in lines
    ]
    return {canonicalize_name(requirement.name): (requirement, hashes) for requirement, hashes in found}


def test_every_package_has_one_version_and_hashes() -> None:
    for name, (requirement, hashes) in locked().items():
        assert [part.operator for part in requirement.specifier] == ["=="], name
        assert hashes >= 1, name


def test_the_lock_has_what_the_project_asks_for() -> None:
    """To run, and to build: nothing is fetched that has no hash there."""
    lists = (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values(), PYPROJECT["build-system"]["requires"])
    asked = [Requirement(line) for lines in lists for line in lines]
    found = locked()
    for requirement in asked:
        name = canonicalize_name(requirement.name)
        if name != "regen-lib":
            version = next(iter(found[name][0].specifier)).version
            assert requirement.specifier.contains(version), requirement


@pytest.mark.parametrize("index", [None, "https://example.org/cpu"], ids=["CUDA", "CPU"])
def test_what_setup_installs(index: str | None) -> None:
    """Packages with their hashes and nothing else, then the project itself; without CUDA where an index has such builds."""
    words = ["make", "--dry-run", "--always-make", "setup", *([f"CPU_INDEX={index}"] if index else [])]
    said = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    installs = [line for line in said if "pip install" in line]
    assert all("--no-deps" in line for line in installs)
    assert "--require-hashes" in installs[-2]
    assert installs[-1].endswith("--no-build-isolation --editable .")
    assert said[-2].endswith("pip check")
    if index:
        shell = "\n".join(line.replace("> .venv/requirements.lock", "") for line in said if line.startswith(("sed", "awk")))
        shell = re.sub(r"\| xargs.*", "", shell)
        kept = subprocess.run(["sh", "-c", shell], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
        names = set(re.findall(r"^([a-z][\w.-]*)(?:\[.*\])?==", kept, re.MULTILINE))
        assert re.findall(r"^(torch\w*)==\S+\+cpu$", kept, re.MULTILINE) == ["torch", "torchvision"]
        gone = {canonicalize_name(name) for name in locked()} - {canonicalize_name(name) for name in names}
        assert {"nvidia-cublas", "cuda-bindings", "triton"} <= gone
        assert all(name.startswith(("nvidia", "cuda", "triton")) for name in gone)
