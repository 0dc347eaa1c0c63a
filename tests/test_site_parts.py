"""What the site adds to Sphinx, piece by piece: the long comparison, executed notebooks, signatures; and the pages' links and README."""

import re
from pathlib import Path
from typing import Annotated

import pandas as pd
import pytest
from annotated_types import Ge

from regen_lib.study.report.comparison import COLUMNS, comparison
from tests.repository import REPOSITORY

PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def study(folder: Path, **tables: list[tuple[str, str, str, float, str]]) -> Path:
    """A folder of tables: network, defence, attack, restoration, what the interval is of."""
    folder.mkdir()
    for name, rows in tables.items():
        table = pd.DataFrame(rows, columns=["network", "defense", "attack", "restoration", "metric"])
        table = table.assign(xi=10.0, images=5, clean_accuracy=0.9, accuracy=0.4, ci_low=0.1234, ci_high=0.5678)
        table.to_csv(folder / f"{name}.csv", index=False)
    return folder


def test_the_comparison_by_hand(tmp_path: Path) -> None:
    first = study(
        tmp_path / "first",
        defenses=[("vgg16", "prn", "uap", 0.7, "restoration"), ("vgg16", "hardened", "uap", 0.9, "restoration")],
        table6_defenses=[("vgg16", "prn", "spgd", 0.2, "accuracy")],
        hardened=[("vgg16", "ours", "uap", 0.5, "restoration"), ("vgg16", "hardened", "uap", 0.8, "restoration")],
        table2=[("vgg16", "jpeg", "uap", 0.99, "restoration")],
    )
    second = study(tmp_path / "second", real_images=[("squeezenet", "unheard_of", "new", 0.8, "restoration")])
    rows = comparison({"one": first, "two": second, "none": tmp_path / "nothing"})
    assert tuple(rows.columns) == COLUMNS
    assert list(rows[["study", "network", "attack", "defense", "restoration"]].itertuples(index=False, name=None)) == [
        ("one", "VGG-16", "UAP", "ours, iterative training", 0.9),
        ("two", "SqueezeNet", "new", "unheard_of", 0.8),
        ("one", "VGG-16", "UAP", "PRN", 0.7),
        ("one", "VGG-16", "white-box sPGD", "PRN", 0.2),
    ]
    assert list(rows.restoration_interval) == ["0.123-0.568"] * 3 + [""]
    assert list(rows.top1_interval) == [""] * 3 + ["0.123-0.568"]
    assert set(rows.clean) == {0.9}
    assert set(rows.of) == {"test"}
    assert set(rows.top1) == {0.4}


@pytest.fixture
def extensions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder docs/ on the path, as conf.py puts it there."""
    pytest.importorskip("sphinx", reason="the site's packages are missing: pip install -e '.[docs]'")
    monkeypatch.syspath_prepend(str(REPOSITORY / "docs"))


@pytest.mark.usefixtures("extensions")
def test_signatures_lose_their_ranges() -> None:
    from extensions.signatures import strip

    def attack(passes: Annotated[int, Ge(1)], rate: float) -> None: ...

    def typed(network: "Unheard") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    strip(None, attack, False)
    assert attack.__annotations__["passes"] is int
    before = dict(typed.__annotations__)
    strip(None, typed, False)
    strip(None, 3, False)
    assert typed.__annotations__ == before


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    for target in targets:
        path, _, name = target.partition("#")
        if not path.startswith("http"):
            found = (page.parent / path) if path else page
            assert found.exists(), target
            if name:
                heads = [
                    re.sub(r"[^\w\s-]", "", line.lstrip("# ").lower()).replace(" ", "-")
                    for line in found.read_text().splitlines()
                    if line.startswith("#")
                ]
                assert name in heads, target


README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
NAMES = (
    "CVPR 2020",
    "0-255",
    "Python 3.11",
    "Algorithm 1",
    "Eq. 9",
    "95 %",
    "ResNet-18",
    "Vollgraf, 2017",
    "CIFAR-10",
    "Krizhevsky, 2009",
    "SHA-256",
    "Top-1",
    "\u21131",
)


def test_the_readme_is_short() -> None:
    assert len(README.encode()) <= 10_000
    assert len(re.findall(r"\*\*(?:holds|partly|does not)\*\*", README)) == 6


def test_no_number_in_the_readme_is_typed() -> None:
    """What is left of it without programs' blocks, code and addresses has digits in names alone."""
    rest = re.sub(r"<!-- (?P<part>[\w ]+): written by .*?<!-- end of (?P=part) -->", "", README, flags=re.DOTALL)
    rest = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", "", rest, flags=re.DOTALL)
    for name in NAMES:
        rest = rest.replace(name, "")
    assert not re.findall(r"[^\n]{0,30}\d[^\n]{0,30}", rest)
