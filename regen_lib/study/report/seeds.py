"""The same study with other seeds: what of its verdicts is luck. ``python -m regen_lib.study seeds FOLDER ...`` gathers them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from regen_lib.core.errors import StudyError
from regen_lib.study.lock import check_tables
from regen_lib.study.params import load_params
from regen_lib.study.report.defenses_table import MET, NO_ATTACK
from regen_lib.study.report.names import DEFENSE_TITLES, TITLES
from regen_lib.study.table_file import read_table
from regen_lib.study.tables.verdict import verdict

MEASURES = {
    "clean": "clean top-1",
    "own": "restoration, own UAPs",
    "restoration": "restoration, unseen attacks",
    "worst": "top-1, worst unseen",
    "white_box": "top-1, white-box",
}
KEYS = ["network", "defense"]
COMPARED = {  # the tables that a seed's rows are made from, with what these take
    "defenses": (*KEYS, "attack", "clean_accuracy", "accuracy", "restoration"),
    "table6_defenses": (*KEYS, "accuracy"),
}
NOT_RUN = "Not run yet with other seeds: `make seeds`."


def gather(folders: Sequence[Path]) -> pd.DataFrame:
    """One row per seed, network and defence with the :data:`MEASURES`, of the studies in ``folders``.

    The first folder's metrics/seeds.csv, gathered before, adds the seeds that no other folder has: a seed may run on another day.
    :class:`StudyError` where a study has no comparison yet, two have one seed, or one is another study.
    """
    parts: dict[int, pd.DataFrame] = {}
    first = load_params(folders[0] / "params.yaml")
    for folder in folders:
        params = load_params(folder / "params.yaml")
        seed = int(params["study"]["seed"])
        if seed in parts:
            raise StudyError(f"{folder} has seed {seed}, as another folder has: give each a seed of its own")
        if other := differences(first, params):
            raise StudyError(f"{folder} is another study, not this one with another seed: {', '.join(other)} differ; run `make seeds`")
        parts[seed] = measured(folder).assign(seed=seed)
    if (before := read(folders[0] / "metrics/seeds.csv")) is not None:
        parts |= {int(str(seed)): rows for seed, rows in before.groupby("seed") if seed not in parts}
    return pd.concat([parts[seed] for seed in sorted(parts)], ignore_index=True)


def read(path: Path) -> pd.DataFrame | None:
    """What was gathered before, if anything; :class:`StudyError` where a seed lacks defences on some of its networks."""
    if not path.is_file():
        return None
    table = read_table(path, [*KEYS, *MEASURES, "seed"], otherwise := "delete it and run `make seeds`", filled=True)
    for seed, rows in table[table.defense != "hardened"].groupby("seed"):  # which not all networks are
        if "ours" not in set(rows.defense) or len(rows) != rows.network.nunique() * rows.defense.nunique():
            raise StudyError(f"{path} lacks rows of seed {seed}, each of its networks with each of its defences: {otherwise}")
    return table


def comparable(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of :func:`gather` that means can be taken of: of networks that all seeds have, and defences that another seed than the first
    has, on all of these networks."""
    networks = table.groupby("network").seed.nunique()
    rows = table[table.network.map(networks) == table.seed.nunique()]
    again = rows[rows.seed != rows.seed.min()].groupby("defense").network.nunique()
    return rows[rows.defense.map(again).fillna(0) == rows.network.nunique()].reset_index(drop=True)


def differences(first: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The sections in which two studies are not the same one with another seed, fewer networks or other rivals; those of both count."""
    rivals = {name: first["rivals"].get(name, row) for name, row in other["rivals"].items()}
    hardened = {"hardened": other["secondary"]["hardened"]}
    alike = {**first, "study": other["study"], "rivals": rivals, "secondary": {**first["secondary"], **hardened}}
    return [name for name in {**alike, **other} if alike.get(name) != other.get(name)]


def measured(study: Path) -> pd.DataFrame:
    """A study's row for each network and defence; :class:`StudyError` unless its tables are there as dvc.lock has them."""
    metrics = study / "metrics"
    if missing := [name for name in COMPARED if not (metrics / f"{name}.csv").is_file()]:
        raise StudyError(f"{metrics} lacks {', '.join(missing)}: run the stage `comparison` there first")
    table, white_box = (read_table(metrics / f"{name}.csv", columns) for name, columns in COMPARED.items())
    check_tables(study, COMPARED, needed=True)
    attacks = [attack for attack in table.attack.unique() if attack not in (*MET, *NO_ATTACK)]
    own = table[table.attack == "uap"].set_index(KEYS).restoration.rename("own")
    return verdict(table, white_box, attacks).join(own, on=KEYS)[[*KEYS, *MEASURES]]


def block(table: pd.DataFrame) -> str:
    """Means over networks, ± the standard deviation over seeds; and how often, over seeds and networks, a defence is ahead of ours."""
    table = comparable(table)
    seeds, networks = table.seed.nunique(), [TITLES[str(name)] for name in table.network.unique()]
    by_seed = table.groupby(["defense", "seed"], sort=False)[list(MEASURES)].mean()
    mean, spread = by_seed.groupby("defense", sort=False).mean(), by_seed.groupby("defense", sort=False).std()
    measured_in = table.groupby("defense").seed.nunique()
    head = ["defence", "seeds", *MEASURES.values(), "ahead of ours, unseen", "white-box"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for defense in mean.index:
        cells = [f"{mean[key][defense]:.3f}" for key in MEASURES]
        if measured_in[defense] > 1:
            cells = [f"{cell} <sub>±{spread[key][defense]:.3f}</sub>" for cell, key in zip(cells, MEASURES, strict=True)]
        ahead = ["" if defense == "ours" else beats(table, str(defense), key) for key in ("restoration", "white_box")]
        lines.append(f"| {' | '.join([DEFENSE_TITLES[str(defense)], str(measured_in[defense]), *cells, *ahead])} |")
    note = f"{seeds} seeds of networks, perturbations, units and rivals; means over {', '.join(networks)}"
    return "\n".join([*lines, "", f"{note}; ± is the standard deviation over seeds."])


def beats(table: pd.DataFrame, defense: str, measure: str) -> str:
    """In how many of the pairs of seed and network a defence is better than ours."""
    pairs = table.pivot_table(index=["seed", "network"], columns="defense", values=measure)[["ours", defense]].dropna()
    return f"{int((pairs[defense] > pairs.ours).sum())} of {len(pairs)}"
