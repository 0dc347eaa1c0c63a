"""What to run where a file is missing or damaged: for one of a study, the stages or the notebook that make it."""

from pathlib import Path

MAKERS = {  # below data/: the notebook that makes it, and its stages
    "images": ("00a_images", "images"),
    "networks": ("00b_networks", "networks"),
    "banks": ("00c_attacks", "uaps strengths unseen"),
    "synthetic": ("03_synthetic_perturbations", "synthesis"),
    "units/hardened": ("07a_iterative_training", "hardened"),
    "units": ("04_training", "units"),
    "ablation": ("04_training", "ablation"),
    "defenses": ("04b_rivals", "rivals"),
    "white_box": ("07b_white_box_attacks", "white_box white_box_hardened white_box_rivals"),
    "fig6": ("07b_white_box_attacks", "fig6"),
}


def remedy(path: Path) -> str:
    """What to do where ``path`` is missing."""
    return maker(path) or "run what makes it first"


def renewal(path: Path) -> str:
    """What to do where ``path`` is damaged: a study has what it made in DVC's cache too."""
    if (what := maker(path)) is None:
        return "delete it and make it again"
    return f"delete it, {what} (if it comes back so, the cache is damaged too: `dvc repro --single-item --force` with that stage)"


def maker(path: Path) -> str | None:
    """The stages that make ``path``, where it belongs to the study in this folder; the notebook, where it belongs to another root."""
    for data in (folder for folder in path.parents if folder.name == "data"):
        below = path.relative_to(data).as_posix()
        for start, (notebook, stages) in MAKERS.items():
            if below.startswith(start):
                root = data.parent
                here = f"`python -m regen_lib.study repro {stages}` makes it"
                return here if root == Path() else f"run {notebook} with root = {str(root)!r} first"
    return None
