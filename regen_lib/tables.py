"""The paper's tables: which networks meet which banks, everything else is :func:`regen_lib.evaluation.evaluate`."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from regen_lib.banks import Bank, load_bank
from regen_lib.defenses import DEFENSES, build
from regen_lib.evaluation import evaluate, summarise
from regen_lib.images import Images, as_input
from regen_lib.inference import predict
from regen_lib.networks import load_network
from regen_lib.pictures import Shown
from regen_lib.progress import tqdm
from regen_lib.ranking import layer_inputs
from regen_lib.regeneration import Regenerated, load_units

Cells = Mapping[tuple[str, str], float]
ABLATION_RATIO = 0.5  # of the filters, while the number of units varies (Sec. 5.1)


class Suite:
    """The networks of the study, each with its defences and banks, and the test images they are judged on.

    ``data`` is the folder with ``networks``, ``units`` and ``banks``. Clean predictions are made once, for all tables.
    """

    def __init__(self, data: Path, networks: Iterable[str], images: Images, *, seed: int) -> None:
        self.data, self.names, self.images, self.seed = data, list(networks), images, seed
        self.models = {name: load_network(data / "networks" / f"{name}.safetensors") for name in self.names}
        self.defended = {name: self.defend(name) for name in self.names}
        self.clean = {name: self.clean_predictions(defended) for name, defended in self.defended.items()}

    def defend(self, name: str) -> dict[str, nn.Module]:
        """Every defence on a network, the undefended one first."""
        return {defense: build(defense, self.models[name], self.data / "units" / name) for defense in DEFENSES}

    def clean_predictions(self, defended: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Each defended network's predictions on the test images as they are."""
        return {defense: predict(network, self.images.pixels) for defense, network in tqdm(defended.items(), leave=False)}

    def bank(self, name: str, bank: str) -> Bank:
        """A network's bank, checked against that network."""
        shape = self.images.pixels.shape
        path = self.data / "banks" / name / f"{bank}.safetensors"
        return load_bank(path, network=self.models[name], shape=(shape[1], shape[2], shape[3]))

    def rows(self, table: object, name: str, banks: Mapping[str, Bank], **options: Any) -> pd.DataFrame:
        """One network's part of a table."""
        return evaluate(str(table), name, self.defended[name], self.clean[name], banks, self.images, seed=self.seed, **options)

    def cross_network(self, table: object, *, clip: bool, xi: float | None, paper: Callable[[str], Cells]) -> pd.DataFrame:
        """Table 1: every network under the test UAPs made for every network; the interval is of top-1."""
        banks = {name: rescaled(self.bank(name, "test"), xi) for name in self.names}
        options = {"clip": clip, "metric": "accuracy"}
        return pd.concat([self.rows(table, name, banks, paper=paper(name), **options) for name in self.names], ignore_index=True)

    def own(
        self,
        table: object,
        attacks: Iterable[str],
        *,
        clip: bool = False,
        xi: float | None = None,
        mean_over: Collection[str] = (),
        paper: Callable[[str], Cells],
    ) -> pd.DataFrame:
        """Tables 2, 3 and 5: every network under banks made for it, and their mean where asked for."""
        attacks, parts = list(attacks), []
        for name in self.names:
            banks = {attack: rescaled(self.bank(name, attack), xi) for attack in attacks}
            parts.append(self.rows(table, name, banks, clip=clip, mean_over=mean_over, paper=paper(name)))
        return pd.concat(parts, ignore_index=True)

    def strengths(
        self, table: object, name: str, attacks: Iterable[str], *, clip: bool, paper: Callable[[list[str]], Cells]
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Table 4 (xi from the trained one upwards), and the fooling ratio against xi with the control, for one network."""
        banks = {attack: self.bank(name, attack) for attack in ("test", *attacks)}
        banks = dict(sorted(banks.items(), key=lambda item: item[1].threat.xi))
        stronger = {key: bank for key, bank in banks.items() if bank.threat.xi >= banks["test"].threat.xi}
        control = self.bank(name, "random_signs")
        points = []
        for bank in banks.values():
            for label, v in (("UAP", bank), ("random signs", control.scaled(bank.threat.xi))):
                found = self.summary(name, v)
                points.append(
                    {"label": label, "xi": v.threat.xi, "fooling": found["fooling_unseen"], "weakest": found["fooling_unseen_min"]}
                )
        return self.rows(table, name, stronger, clip=clip, paper=paper(list(stronger))), pd.DataFrame(points)

    def ablation(
        self, table: object, name: str, variants: Mapping[str, Mapping[str, Any]], positions: list[str], *, clip: bool
    ) -> pd.DataFrame:
        """Fig. S2 and the ratio: restoration against the number of units, and against the fraction of filters regenerated."""
        networks, whole = self.variants(name, variants), len(positions)
        specs: dict[str, Mapping[str, Any]] = {"undefended": {"units": 0, "ratio": 0.0}, **variants}
        banks = {attack: self.bank(name, attack) for attack in ("test", "test_l2")}
        rows = evaluate(str(table), name, networks, self.clean_predictions(networks), banks, self.images, seed=self.seed, clip=clip)
        units, ratio = (rows.defense.map({v: spec[key] for v, spec in specs.items()}) for key in ("units", "ratio"))
        by_units = rows[(ratio == ABLATION_RATIO) | (units == 0)].assign(sweep="units", value=units)
        by_ratio = rows[(units == whole) | (units == 0)].assign(sweep="ratio", value=ratio)
        return pd.concat([by_units, by_ratio], ignore_index=True)

    def choices(self, table: object, name: str, variants: Mapping[str, Mapping[str, Any]], reference: str) -> pd.DataFrame:
        """What else could have been chosen for the units: each variant beside ``reference``, under the ``tuning`` bank."""
        networks = self.variants(name, [reference, *variants])
        banks = {"tuning": self.bank(name, "tuning")}
        rows = evaluate(str(table), name, networks, self.clean_predictions(networks), banks, self.images, seed=self.seed)
        return rows.assign(setting=rows.defense.map({v: str(spec) for v, spec in variants.items()}))

    def variants(self, name: str, wanted: Iterable[str]) -> dict[str, nn.Module]:
        """A network undefended and with each of the ``wanted`` sets of units."""
        model = self.models[name]
        return {"undefended": model} | {v: load_units(self.data / "units" / name / f"{v}.safetensors", model) for v in wanted}

    def white_box(
        self, table: object, name: str, defenses: Sequence[str], attacks: Sequence[str], *, paper: Cells | None = None
    ) -> pd.DataFrame:
        """Table 6: each defence under the banks made against itself; the interval is of top-1.

        ``fooling_own`` is the strongest restart on the attacker's own images, ``fooling_half`` the mean at half of its passes.
        """
        networks = self.variants(name, [defense for defense in defenses if defense != "undefended"])
        clean, parts = self.clean_predictions(networks), []
        for defense in defenses:
            banks = {attack: self.white_box_bank(name, defense, attack, networks[defense]) for attack in attacks}
            target = {defense: networks[defense]}
            rows = evaluate(str(table), name, target, clean, banks, self.images, seed=self.seed, metric="accuracy", paper=paper)
            own = {attack: max(bank.fooling) for attack, bank in banks.items()}
            half = {attack: half_way(bank.history) for attack, bank in banks.items()}
            parts.append(rows.assign(fooling_own=rows.attack.map(own), fooling_half=rows.attack.map(half)))
        return pd.concat(parts, ignore_index=True)

    def white_box_bank(self, name: str, defense: str, attack: str, defended: nn.Module) -> Bank:
        """What an attacker who knows the defence made against it."""
        return load_bank(self.data / "banks" / name / f"{defense}_{attack}.safetensors", network=defended)

    def attack_curves(self, name: str, defenses: Sequence[str], attack: str) -> pd.DataFrame:
        """Fig. 6: fooling ratio on the attacker's own images after each pass, for each defence: ``defense, passes, fooling``."""
        networks = self.variants(name, [defense for defense in defenses if defense != "undefended"])
        rows = [
            {"network": name, "defense": defense, "passes": index + 1, "fooling": ratio}
            for defense in defenses
            for index, ratio in enumerate(self.white_box_bank(name, defense, attack, networks[defense]).history)
        ]
        return pd.DataFrame(rows)

    def clipping(self, table: object, table2: pd.DataFrame, *, clip: bool, xi: float | None) -> pd.DataFrame:
        """The networks' own UAPs, x + v clipped to [0, 255] and not: ``table2``, made with ``clip``, beside its opposite."""
        same = table2[table2.attack == "test"].assign(table=str(table), paper=None)
        other = self.own(table, ["test"], clip=not clip, xi=xi, paper=lambda _name: {})
        return pd.concat([same, other], ignore_index=True)

    def summary(self, name: str, bank: Bank) -> dict[str, Any]:
        """What a bank is and what it does to images it has not seen."""
        return summarise(bank, self.models[name], self.images)

    def banks(self, names: Iterable[str], strong: str = "", strengths: Iterable[str] = ()) -> pd.DataFrame:
        """A row for each of these banks on every network, and for ``strengths`` on the network ``strong``."""
        wanted = [(network, bank) for network in self.names for bank in names] + [(strong, bank) for bank in strengths]
        return pd.DataFrame([{"bank": bank, **self.summary(network, self.bank(network, bank))} for network, bank in tqdm(wanted)])

    def showcase(self, name: str, attacks: Iterable[str], *, image: int) -> list[Shown]:
        """Fig. 1: one image as it is and under each attack, with what every defence says of it and how surely."""
        x = as_input(self.images.pixels[image : image + 1])
        cases = {"clean": torch.zeros_like(x)} | {attack: self.bank(name, attack).perturbations[:1] for attack in attacks}
        shown = []
        for case, v in cases.items():
            with torch.no_grad():
                sure = {defense: network(x + v).softmax(1)[0] for defense, network in self.defended[name].items()}
            says = {defense: (int(p.argmax()), float(p.max())) for defense, p in sure.items()}
            shown.append(Shown(case, (x + v)[0], v[0], says))
        return shown

    def most_fooled(self, name: str, attacks: Iterable[str]) -> int:
        """The first of the images that the most of these attacks get past the undefended network, which knows it unperturbed."""
        clean, count = self.clean[name]["undefended"], torch.zeros(len(self.images))
        for attack in attacks:
            count += predict(self.models[name], self.images.pixels, self.bank(name, attack).perturbations[:1]) != clean
        return int((count * (clean == self.images.labels)).argmax())

    def feature_maps(self, name: str, layer: str, attacks: Iterable[str], *, image: int) -> dict[str, tuple[Tensor, Tensor]]:
        """Fig. 5: the most vulnerable filter of ``layer`` for one image, clean and under each attack: before and after its unit."""
        defended = self.defended[name]["ours"]
        regenerated = defended.get_submodule(layer)
        assert isinstance(regenerated, Regenerated)
        x = as_input(self.images.pixels[image : image + 1])
        cases = {"clean": torch.zeros_like(x)} | {attack: self.bank(name, attack).perturbations[:1] for attack in attacks}
        channel, maps = int(regenerated.unit.channels[0]), {}
        for case, v in cases.items():
            inputs = layer_inputs(self.models[name], [layer], x + v)[layer]
            with torch.no_grad():
                maps[case] = (regenerated.conv(inputs)[0, channel], regenerated(inputs)[0, channel])
        return maps


def half_way(history: Sequence[float]) -> float:
    """The largest fooling ratio reached in the first half of an attack's passes."""
    return max(history[: (len(history) + 1) // 2])


def rescaled(bank: Bank, xi: float | None) -> Bank:
    """The bank at another xi, or as it is."""
    return bank if xi is None else bank.scaled(xi)
