"""The paper's tables: which networks meet which banks, everything else is :func:`regen_lib.evaluation.evaluate.evaluate`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor, nn

from regen_lib.core.images import Images
from regen_lib.core.inference import predict
from regen_lib.core.perturbations import Bank, load_bank
from regen_lib.core.progress import tqdm
from regen_lib.evaluation.banks import overlap, summarise
from regen_lib.evaluation.evaluate import evaluate
from regen_lib.networks import load_network
from regen_lib.regeneration.files import load_units
from regen_lib.study.defended import load_defended
from regen_lib.study.files import bank_file, units_file

ABLATION_RATIO = 0.5  # of the filters, while the number of units varies (Sec. 5.1)


class Suite:
    """The networks of the study, each with its defences and banks, and the test images they are judged on.

    ``data`` is the folder with ``networks``, ``units``, ``defenses`` and ``banks``; ``defenses`` are those of every network, or
    by network where one has others. Clean predictions are made once, for all tables.
    """

    def __init__(
        self,
        data: Path,
        networks: Iterable[str],
        images: Images,
        *,
        seed: int,
        defenses: Sequence[str] | Mapping[str, Sequence[str]] = ("undefended", "ours"),
    ) -> None:
        self.data, self.names, self.images, self.seed = data, list(networks), images, seed
        self.defenses = {name: tuple(defenses[name] if isinstance(defenses, Mapping) else defenses) for name in self.names}
        self.models = {name: load_network(data / "networks" / f"{name}.safetensors") for name in self.names}
        self.defended = {name: self.defend(name) for name in self.names}
        self.clean = {name: self.clean_predictions(defended) for name, defended in self.defended.items()}

    def defend(self, name: str) -> dict[str, nn.Module]:
        """Every defence on a network, the undefended one first."""
        return {defense: load_defended(self.data, name, defense, self.models[name]) for defense in self.defenses[name]}

    def with_defense(self, name: str, defense: str) -> nn.Module:
        """A network with one defence, of the suite's or another."""
        return self.defended[name].get(defense) or load_defended(self.data, name, defense, self.models[name])

    def clean_predictions(self, defended: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Each defended network's predictions on the test images as they are."""
        return {defense: predict(network, self.images.pixels) for defense, network in tqdm(defended.items(), leave=False)}

    def bank(self, name: str, bank: str) -> Bank:
        """A network's bank, checked against that network."""
        shape = self.images.pixels.shape
        path = bank_file(self.data, name, bank)
        return load_bank(path, network=self.models[name], shape=(shape[1], shape[2], shape[3]))

    def compare(
        self, table: object, name: str, networks: Mapping[str, nn.Module], banks: Mapping[str, Bank], **options: Any
    ) -> pd.DataFrame:
        """Part of a table: ``networks``, which need not be among the suite's defences, under ``banks``.

        ``options`` are those of :func:`regen_lib.evaluation.evaluate.evaluate`, whose rows come back.
        """
        known = self.clean[name]
        clean = known | self.clean_predictions({key: network for key, network in networks.items() if key not in known})
        return evaluate(str(table), name, networks, clean, banks, self.images, seed=self.seed, **options)

    def cross_network(self, table: object, *, clip: bool, xi: float | None) -> pd.DataFrame:
        """Table 1: every network under the UAPs made for every network; the interval is of top-1."""
        banks = {name: rescaled(self.bank(name, "uap"), xi) for name in self.names}
        options = {"clip": clip, "metric": "accuracy"}
        return pd.concat([self.compare(table, name, self.defended[name], banks, **options) for name in self.names], ignore_index=True)

    def own_banks(
        self,
        table: object,
        attacks: Iterable[str],
        *,
        clip: bool = False,
        xi: float | None = None,
        means: Mapping[str, Collection[str]] | None = None,
    ) -> pd.DataFrame:
        """Tables 2, 3 and 5: every network under banks made for it, and their ``means`` where asked for."""
        attacks, parts = list(attacks), []
        for name in self.names:
            banks = {attack: rescaled(self.bank(name, attack), xi) for attack in attacks}
            parts.append(self.compare(table, name, self.defended[name], banks, clip=clip, means=means))
        return pd.concat(parts, ignore_index=True)

    def strengths(self, table: object, name: str, attacks: Iterable[str], *, clip: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Table 4 (xi from the trained one upwards), and the fooling ratio against xi with the control, for one network."""
        banks = {attack: self.bank(name, attack) for attack in ("uap", *attacks)}
        banks = dict(sorted(banks.items(), key=lambda item: item[1].threat.xi))
        stronger = {key: bank for key, bank in banks.items() if bank.threat.xi >= banks["uap"].threat.xi}
        control = self.bank(name, "random_signs")
        points = []
        for bank in banks.values():
            for label, v in (("UAP", bank), ("random signs", control.scaled(bank.threat.xi))):
                found = self.describe_bank(name, v)
                points.append(
                    {"label": label, "xi": v.threat.xi, "fooling": found["fooling_unseen"], "weakest": found["fooling_unseen_min"]}
                )
        return self.compare(table, name, self.defended[name], stronger, clip=clip), pd.DataFrame(points)

    def ablation(
        self,
        table: object,
        name: str,
        variants: Mapping[str, Mapping[str, Any]],
        positions: list[str],
        unseen: Sequence[str],
        *,
        clip: bool,
    ) -> pd.DataFrame:
        """Fig. S2 and the ratio: restoration against the number of units, and against the fraction of filters regenerated.

        Under the networks' own UAPs, and in the mean over the ``unseen`` attacks, ``mean_unseen``: the paper has the first.
        """
        networks, whole = self.variants(name, variants), len(positions)
        specs: dict[str, Mapping[str, Any]] = {"undefended": {"units": 0, "ratio": 0.0}, **variants}
        banks = {attack: self.bank(name, attack) for attack in ("uap", "uap_l2", *unseen)}
        rows = self.compare(table, name, networks, banks, clip=clip, means={"mean_unseen": unseen})
        rows = rows[~rows.attack.isin(unseen)]
        units, ratio = (rows.defense.map({v: spec[key] for v, spec in specs.items()}) for key in ("units", "ratio"))
        by_units = rows[(ratio == ABLATION_RATIO) | (units == 0)].assign(sweep="units", value=units)
        by_ratio = rows[(units == whole) | (units == 0)].assign(sweep="ratio", value=ratio)
        return pd.concat([by_units, by_ratio], ignore_index=True)

    def choices(self, table: object, name: str, variants: Mapping[str, Mapping[str, Any]], reference: str) -> pd.DataFrame:
        """What else could have been chosen for the units: each variant beside ``reference``, under the ``tuning`` bank."""
        networks = self.variants(name, [reference, *variants])
        banks = {"tuning": self.bank(name, "tuning")}
        rows = self.compare(table, name, networks, banks)
        return rows.assign(setting=rows.defense.map({v: str(spec) for v, spec in variants.items()}).fillna(""))

    def variants(self, name: str, wanted: Iterable[str]) -> dict[str, nn.Module]:
        """A network with each of the ``wanted`` sets of units; ``undefended``, which always comes first, is the network itself."""
        model = self.models[name]
        return {"undefended": model} | {v: load_units(units_file(self.data, name, v), model) for v in wanted if v != "undefended"}

    def clipping(self, table: object, table2: pd.DataFrame, *, clip: bool, xi: float | None) -> pd.DataFrame:
        """The networks' own UAPs, x + v clipped to [0, 255] and not: ``table2``, made with ``clip``, beside its opposite."""
        same = table2[table2.attack == "uap"].assign(table=str(table))
        other = self.own_banks(table, ["uap"], clip=not clip, xi=xi)
        return pd.concat([same[list(other.columns)], other], ignore_index=True)

    def describe_bank(self, name: str, bank: Bank) -> dict[str, Any]:
        """What a bank is and what it does to images it has not seen: :func:`regen_lib.evaluation.banks.summarise`."""
        return summarise(bank, self.models[name], self.images, self.clean[name]["undefended"])

    def bank_table(self, names: Iterable[str], strong: str = "", strengths: Iterable[str] = ()) -> pd.DataFrame:
        """One row for each of these banks on every network, and for ``strengths`` on the network ``strong``."""
        listed = [(network, bank) for network in self.names for bank in names] + [(strong, bank) for bank in strengths]
        rows = []
        for network, name in tqdm(listed):
            bank = self.bank(network, name)
            rows.append({"bank": name, **self.describe_bank(network, bank), **overlap(bank, self.bank(network, "train"))})
        return pd.DataFrame(rows)


def rescaled(bank: Bank, xi: float | None) -> Bank:
    """The bank at another xi, or as it is."""
    return bank if xi is None else bank.scaled(xi)
