"""What every study trained and keeps, by its lock, with what its tables say of it: for the site's page of model cards."""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from regen_lib.study.lock import stages
from regen_lib.study.pack.cards import KINDS
from regen_lib.study.params import load_params
from regen_lib.study.report.names import ATTACK_TITLES, DEFENSE_TITLES, TITLES
from regen_lib.study.report.seeds import measured
from regen_lib.study.table_file import read_table

COLUMNS = ("kind", "study", "network", "what", "clean", "uaps", "unseen", "fooling", "files", "size", "md5", "path")
MADE, ATTACKED = ("bank", "network", "fooling_unseen"), ("network", "defense", "fooling_ratio")  # columns of its tables
ATTACKS = {"uaps": "own UAPs", "strengths": "UAPs at larger ξ"}  # stages that are no attack
SWEEPS = {"variants": "units of Fig. S2", "choices": "units trained otherwise"}


def models(study: str, folder: Path) -> pd.DataFrame:
    """The outputs of the study in ``folder``, as its dvc.lock has them, in the columns :data:`COLUMNS`; none where it has not run.

    ``clean`` and the restoration under own UAPs and under unseen attacks are means over the networks that the output is of;
    ``fooling`` is the mean fooling ratio on test images. ``size`` is in kB.
    """
    lock, metrics = folder / "dvc.lock", folder / "metrics"
    if not lock.is_file() or not (metrics / "table6_defenses.csv").is_file():
        return pd.DataFrame(columns=list(COLUMNS))
    results, fooling = measured(folder), fooling_ratios(folder)
    rows = []
    for output in trained(lock):
        parts = Path(output["path"]).with_suffix("").parts[1:]
        kind, network, named = KINDS[parts[0]], TITLES.get(parts[-1], "each"), parts[-1] if parts[-1] in TITLES else None
        row = {"kind": kind, "study": study, "network": network, "what": what(parts), "files": output.get("nfiles", 1)}
        row |= {"size": round(output["size"] / 1000), "md5": output["md5"].removesuffix(".dir"), "path": output["path"]}
        rows.append(row | scores(results, defense(parts), named) | {"fooling": fooled(fooling, parts, named)})
    return pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(["kind", "path"], ignore_index=True)


def trained(lock: Path) -> Iterator[Mapping[str, Any]]:
    """Those of a lock's outputs that hold what was trained."""
    for output in chain(*stages(lock).values()):
        parts = Path(output["path"]).parts
        if parts[0] == "data" and parts[1] in KINDS:
            yield output


def what(parts: tuple[str, ...]) -> str:
    """An output in words, by the parts of its path below data/."""
    folder, name = parts[0], parts[min(1, len(parts) - 1)]
    if folder in ("units", "defenses"):
        return DEFENSE_TITLES[name]
    if folder == "banks":
        return ATTACKS.get(name) or ATTACK_TITLES[name]
    if folder == "white_box":
        return f"sPGD and SGA against {DEFENSE_TITLES[name]}"
    return {"ablation": SWEEPS.get(name, name), "fig6": "UAPs of Fig. 6", "synthetic": "of Algorithm 1"}.get(folder, "undefended")


def defense(parts: tuple[str, ...]) -> str | None:
    """Which defence of the tables an output is."""
    return {"networks": "undefended", "units": parts[1], "defenses": parts[1]}.get(parts[0]) if len(parts) > 1 else None


def scores(results: pd.DataFrame, name: str | None, network: str | None) -> dict[str, float]:
    """A defence's means over its networks, or what it does on one."""
    rows = results[(results.defense == name) & (results.network == (network or results.network))]
    return {"clean": rows.clean.mean(), "uaps": rows.own.mean(), "unseen": rows.restoration.mean()}


def fooling_ratios(folder: Path) -> pd.DataFrame:
    """Of every bank that was measured ``kind`` (banks, white_box), ``name`` (its stage, or the defence attacked), ``network, fooling``."""
    params, metrics = load_params(folder / "params.yaml"), folder / "metrics"
    stages = {"uaps": params["uaps"], "strengths": params["strengths"], **params["unseen"]}
    of = {bank: stage for stage, spec in stages.items() for bank in spec["banks"]}
    made = pd.concat([read_table(metrics / f"{name}.csv", MADE) for name in ("banks", "unseen")]).drop_duplicates(["bank", "network"])
    against = read_table(metrics / "table6_defenses.csv", ATTACKED)
    parts = [
        pd.DataFrame({"kind": "banks", "name": made.bank.map(of), "network": made.network, "fooling": made.fooling_unseen}),
        pd.DataFrame({"kind": "white_box", "name": against.defense, "network": against.network, "fooling": against.fooling_ratio}),
    ]
    return pd.concat(parts, ignore_index=True)


def fooled(known: pd.DataFrame, parts: tuple[str, ...], network: str | None) -> float:
    """The mean fooling ratio of what an output holds; NaN where none was measured."""
    name = parts[min(1, len(parts) - 1)]
    rows = known[(known.kind == parts[0]) & (known.name == name) & (known.network == (network or known.network))]
    return float(rows.fooling.mean())
