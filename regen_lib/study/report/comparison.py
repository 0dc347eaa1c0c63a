"""Every defence of every study under every attack in one long table, for the site's page on which it is sorted and chosen from."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from regen_lib.study.report.names import ATTACK_TITLES, DEFENSE_TITLES, TITLES
from regen_lib.study.report.photographs import UNITS
from regen_lib.study.table_file import read_table

WHITE_BOX = "white-box "
SOURCES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {  # pattern of a file's name: what of its rows belongs here
    "defenses": lambda rows: rows,
    "table6_defenses": lambda rows: rows.assign(attack=WHITE_BOX + rows.attack),
    "real_images*": lambda rows: rows,
}
TAKEN = (
    *("network", "defense", "attack", "xi", "images", "clean_accuracy", "accuracy", "restoration"),
    *("metric", "ci_low", "ci_high"),
)
COLUMNS = (
    *("defense", "network", "restoration", "top1", "clean", "attack", "study", "of", "xi", "images"),
    *("restoration_interval", "top1_interval"),
)
SPLITS = {"test": "test", "others": "other classes"}  # images of a table that has several kinds


def comparison(studies: dict[str, Path]) -> pd.DataFrame:
    """The rows of all ``studies``, given their folders of tables, best restoration first: :data:`COLUMNS`, with titles for names.

    An interval is a text, empty for a number that has none. A study without such tables has no rows.
    """
    parts = [
        choose(read_table(path, TAKEN)).assign(study=study)
        for study, metrics in studies.items()
        for pattern, choose in SOURCES.items()
        for path in sorted(metrics.glob(f"{pattern}.csv"))
    ]
    rows = pd.concat(parts, ignore_index=True)
    rows = rows.assign(
        of=rows.get("shown", pd.Series(index=rows.index, dtype=object)).fillna("test").map(SPLITS),
        network=rows.network.map(lambda name: TITLES[name]),
        attack=rows.attack.map(attack_title),
        defense=rows.defense.map(lambda name: f"ours, {UNITS[name]}" if name in UNITS else DEFENSE_TITLES[name]),
        clean=rows.clean_accuracy,
        top1=rows.accuracy,
        top1_interval=interval(rows, "accuracy"),
        restoration_interval=interval(rows, "restoration"),
    )
    return rows[list(COLUMNS)].sort_values("restoration", ascending=False, kind="stable", ignore_index=True)


def attack_title(name: str) -> str:
    """An attack's title, a white-box attacker's too."""
    known = name.removeprefix(WHITE_BOX)
    return (WHITE_BOX if known != name else "") + ATTACK_TITLES[known]


def interval(rows: pd.DataFrame, metric: str) -> pd.Series:
    """The 95 % interval in words, where a row's interval is that of ``metric``."""
    words = rows.ci_low.map("{:.3f}".format) + "-" + rows.ci_high.map("{:.3f}".format)
    return words.where(rows.metric == metric, "")
