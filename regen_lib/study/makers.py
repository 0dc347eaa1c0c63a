"""Which notebook and which stages make a file of a study."""

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


def maker(path: Path) -> str | None:
    """The stages that make ``path``, where it belongs to the study in this folder; the notebook, where it belongs to another root."""
    for data in (folder for folder in path.parents if folder.name == "data"):
        below = path.relative_to(data).with_suffix("").parts
        for start, (notebook, stages) in MAKERS.items():
            if below[: start.count("/") + 1] == tuple(start.split("/")):
                root = data.parent
                here = f"`python -m regen_lib.study repro {stages}` makes it"
                return here if root == Path() else f"run {notebook} with root = {str(root)!r} first"
    return None
