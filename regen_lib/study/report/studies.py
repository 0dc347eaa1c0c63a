"""The studies of this repository, one row each: docs/reading.md's table, from their params.yaml and what lies beside it."""

import math
from pathlib import Path

import yaml

from regen_lib.study.report.names import TITLES


def folders(root: Path) -> dict[str, Path]:
    """The study in ``root``, named by its images, and those in its folder ``studies``."""
    images = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))["images"]["source"]
    return {images: root, **{path.parent.name: path.parent for path in sorted(root.glob("studies/*/params.yaml"))}}


def block(root: Path) -> str:
    """The table of the study in ``root`` and of those in its folder ``studies``."""
    lines = ["| study | what it is of | networks | ξ | tables |", "|---|---|---|---|---|"]
    for path in (folder / "params.yaml" for folder in folders(root).values()):
        text = path.read_text(encoding="utf-8")
        params = yaml.safe_load(text)
        name = "the default" if path.parent == root else f"`{path.parent.name}`"
        networks = ", ".join(TITLES[network] for network in params["study"]["networks"])
        bounds = [f"{threat['xi']:g}" for threat in params["threats"].values() if float(threat["norm"]) == math.inf]
        tables = len(list((path.parent / "metrics").glob("*.csv")))
        link = path.relative_to(root).as_posix()
        lines.append(f"| [{name}](../{link}) | {about(text)} | {networks} | {', '.join(bounds)} | {tables or 'none yet'} |")
    return "\n".join(lines)


def about(text: str) -> str:
    """The first sentence of the comment that a parameter file begins with."""
    comment = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("#").strip())
    sentence = " ".join(comment).partition(". ")[0]
    return sentence.partition(": `")[0].removesuffix(".")
