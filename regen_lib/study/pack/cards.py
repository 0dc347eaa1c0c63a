"""Model cards: what each trained file of a study is, from its metadata, the parameters and the tables of results.

The form is that of Mitchell et al., "Model Cards for Model Reporting" (2019): details, data, training, results, intended use, limits.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from regen_lib.core.images import load_images
from regen_lib.core.storage import checksum, read_tensors
from regen_lib.study.params import load_params
from regen_lib.study.table_file import read_table
from regen_lib.study.titles import ATTACK_TITLES, DEFENSE_TITLES, TITLES

DATA, METRICS = Path("data"), Path("metrics")
KINDS = {  # the folders below data/ with what was trained, and the kind of file in each
    "networks": "network",
    "banks": "bank",
    "synthetic": "perturbations",
    "units": "units",
    "ablation": "units",
    "defenses": "defense",
    "white_box": "bank",
    "fig6": "bank",
}
RESULTS = ("defenses", "hardened", "real_images")  # tables with a row for each network, defence and attack
SHOWN = ["attack", "xi", "images", "clean_accuracy", "accuracy", "restoration", "ci_low", "ci_high", "fooling_ratio"]
USE = {
    "network": "To reproduce the study, and as a small network to try attacks and defences on. Load it with `rl.load_network`.",
    "bank": "To test networks and defences, and to train defences. Load it with `rl.load_bank`, which checks the network.",
    "perturbations": "To train regeneration units on, without running Algorithm 1 again.",
    "units": "To defend the network of that name against universal perturbations. Load them with `rl.load_units`.",
    "defense": "To compare defences on the network of that name.",
}
LIMITS = {
    "network": "A reduced network, trained for minutes: its accuracy is not the best that its family can reach. It has no defence.",
    "bank": "Made for the weights of one network: against others it may do less. One seed; another gives other perturbations.",
    "perturbations": "Close to the bank that they were made from: Algorithm 1 adds little to its variety.",
    "units": "For these weights of the network alone. They help less against attacks unlike those they were trained on, and an attacker who"
    " knows them gets past them. The intervals are over images, not over trainings.",
    "defense": "For these weights of the network alone. An attacker who knows the defence can do more than the attacks above.",
}


def cards(paths: Iterable[Path]) -> dict[str, str]:
    """The card of every trained file among those of the study in this folder, by its path, as Markdown."""
    params, tables = load_params(Path("params.yaml")), Tables(METRICS)
    images = {name: len(split) for name, split in load_images(DATA / "images.safetensors").items()}
    source = f"{params['images']['source']}: " + ", ".join(f"{count:,} images in `{name}`" for name, count in images.items())
    return {f"{path.as_posix()}.md": card(path, kind, source, params, tables) for path, kind in trained(paths)}


def trained(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Every trained file and its kind."""
    for path in paths:
        if path.suffix == ".safetensors" and (kind := KINDS.get(path.relative_to(DATA).parts[0])):
            yield path, kind


def card(path: Path, kind: str, source: str, params: Mapping[str, Any], tables: "Tables") -> str:
    """One file's card."""
    tensors, metadata = read_tensors(path, kind)
    network = metadata.get("network") or path.stem
    details = {key: value for key, value in metadata.items() if key not in ("fooling", "history")}
    details |= {"numbers": f"{sum(tensor.numel() for tensor in tensors.values()):,}", "hash of the content": f"`{checksum(path)}`"}
    parts = {
        "Details": listed(details),
        "Data": source + ".",
        "Training": listed(training(path, kind, network, params)),
        "Results": results(path, kind, network, metadata, tables),
        "Intended use": USE[kind],
        "Limits": LIMITS[kind],
    }
    title = f"# {TITLES[network]} · {titled(path, kind)}\n\n`{path.as_posix()}`\n"
    return title + "".join(f"\n## {head}\n\n{text}\n" for head, text in parts.items() if text)


def listed(values: Mapping[str, Any]) -> str:
    """A line for each value that is one, as Markdown."""
    return "\n".join(f"- {key.replace('_', ' ')}: {plainly(value)}" for key, value in values.items() if value not in (None, {}, []))


def plainly(value: Any) -> str:
    """A value as prose has it: what it holds, without brackets."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {plainly(each)}" for key, each in value.items())
    return " ".join(map(plainly, value)) if isinstance(value, list | tuple) else str(value)


def titled(path: Path, kind: str) -> str:
    """What the file is, in words."""
    if kind == "bank":
        target = f" against {DEFENSE_TITLES[path.parts[2]]}" if path.parts[1] in ("white_box", "fig6") else ""
        return f"perturbations, {ATTACK_TITLES[path.stem]}{target}"
    names = {"network": "network", "perturbations": "synthetic perturbations", "units": f"units, {DEFENSE_TITLES[path.parent.name]}"}
    return names.get(kind, DEFENSE_TITLES[path.parent.name])


def training(path: Path, kind: str, network: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The part of params.yaml that the file was trained by."""
    name = path.parent.name
    if kind == "network":
        return dict(params["networks"][network])
    if kind == "units" and name == "hardened":
        return dict(params["secondary"]["training"])
    if kind == "units":
        variants = {**params["training"]["variants"], **params["ablation"]["variants"], **params["ablation"]["choices"]}
        return {key: value for key, value in params["training"].items() if key != "variants"} | variants[name] | xi(params)
    if kind == "defense":
        return {**params["rivals"][name], **xi(params)}
    if kind == "perturbations":
        return {**params["synthesis"], **xi(params)}
    groups = (
        params["uaps"],
        params["strengths"],
        *params["unseen"].values(),
        params["secondary"]["white_box"],
        params["secondary"]["fig6"],
    )
    rows = [group["banks"][path.stem] for group in groups if path.stem in group["banks"]]
    return dict(rows[-1 if path.parts[1] in ("white_box", "fig6") else 0]) if rows else {}


def xi(params: Mapping[str, Any]) -> dict[str, Any]:
    """The threat of the bank that every defence is trained on."""
    bank = params["uaps"]["banks"]["train"]
    return {"perturbations": f"{bank['count']} of {bank['attack']}, norm {bank['norm']} at most xi = {bank['xi']} of 255"}


def results(path: Path, kind: str, network: str, metadata: Mapping[str, Any], tables: "Tables") -> str:
    """What was measured."""
    if kind == "bank":
        fooling = metadata["fooling"]
        return f"Fooling ratio on its own images {min(fooling):.3f} to {max(fooling):.3f}." + tables.unseen(
            path.parts[1], network, path.stem
        )
    defense = {"network": "undefended", "units": path.parent.name, "defense": path.parent.name}.get(kind, "")
    return tables.rows(network, defense)


class Tables:
    """The study's tables of results, as far as they are there."""

    def __init__(self, metrics: Path) -> None:
        self.measured, self.banks = (
            pd.concat([read_table(path, columns) for name in names if (path := metrics / f"{name}.csv").is_file()] or [pd.DataFrame()])
            for names, columns in ((RESULTS, ("network", "defense", *SHOWN)), (("unseen", "banks"), ("network", "bank", "fooling_unseen")))
        )

    def rows(self, network: str, defense: str) -> str:
        """What a defended network did under each attack, as a Markdown table; nothing where it was not measured."""
        if self.measured.empty:
            return ""
        found = self.measured[(self.measured.network == network) & (self.measured.defense == defense)].drop_duplicates("attack")
        return markdown(found[SHOWN]) if len(found) else ""

    def unseen(self, folder: str, network: str, bank: str) -> str:
        """What a bank does to images that it was not made from; nothing where it was not measured, or belongs to a defence."""
        if self.banks.empty or folder != "banks":
            return ""
        found = self.banks[(self.banks.network == network) & (self.banks.bank == bank)]
        return f" On other images {found.fooling_unseen.iloc[0]:.3f}." if len(found) else ""


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown."""
    lines = [" | ".join(table.columns), "|".join(["---"] * len(table.columns))]
    lines += [
        " | ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in row) for row in table.itertuples(index=False)
    ]
    return "\n".join(f"| {line} |" for line in lines)
