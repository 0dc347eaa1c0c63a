"""What to run where a file of the study is missing."""

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
    """The stages that make ``path``, where it belongs to the study in this folder; the notebook, where it belongs to another root."""
    for data in (folder for folder in path.parents if folder.name == "data"):
        below = path.relative_to(data).as_posix()
        for start, (notebook, stages) in MAKERS.items():
            if below.startswith(start):
                root = data.parent
                return (
                    f"`python -m regen_lib.study repro {stages}` makes it"
                    if root == Path()
                    else f"run {notebook} with root = {str(root)!r} first"
                )
    return "run what makes it first"
