"""Which notebook and which stages make a file of a study: below data/, and the tables that other stages read."""

from pathlib import Path

MAKERS = {  # the notebook that makes it, and its stages
    "data/images": ("00a_images", "images"),
    "data/networks": ("00b_networks", "networks"),
    "data/banks": ("00c_attacks", "uaps strengths unseen"),
    "data/synthetic": ("03_synthetic_perturbations", "synthesis"),
    "data/units/hardened": ("07a_iterative_training", "hardened"),
    "data/units": ("04_training", "units"),
    "data/ablation": ("04_training", "ablation"),
    "data/defenses": ("04b_rivals", "rivals"),
    "data/white_box": ("07b_white_box_attacks", "white_box white_box_hardened white_box_rivals"),
    "data/fig6": ("07b_white_box_attacks", "fig6"),
    "metrics/table2": ("05_evaluation", "evaluation"),
    "metrics/table3": ("05_evaluation", "evaluation"),
}
FOLDERS = {start.partition("/")[0] for start in MAKERS}


def maker(path: Path) -> str | None:
    """The stages that make ``path``, where it belongs to the study in this folder; the notebook, where it belongs to another root."""
    for root in (folder.parent for folder in path.parents if folder.name in FOLDERS):
        below = path.relative_to(root).with_suffix("").parts
        for start, (notebook, stages) in MAKERS.items():
            if below[: start.count("/") + 1] == tuple(start.split("/")):
                here = f"`python -m regen_lib.study repro {stages}` makes it"
                return here if root == Path() else f"run {notebook} with root = {str(root)!r} first"
    return None
