"""params.yaml, typed and checked: every key known, every value of its type, every name there."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from regen_lib.attacks import ATTACKS
from regen_lib.errors import StudyError
from regen_lib.paper import NETWORKS

Fraction = Field(gt=0, le=1)


def known_network(name: str) -> str:
    """``name``, if the paper has such a network."""
    if name not in NETWORKS:
        raise ValueError(f"network {name!r} is unknown: choose one of {', '.join(NETWORKS)}")
    return name


Name = Annotated[str, AfterValidator(known_network)]


class Section(BaseModel):
    """A part of params.yaml: every key known, every value of its type."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Study(Section):
    """What every stage shares."""

    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    networks: list[Name] = Field(min_length=1)


class ImagesSection(Section):
    """Notebook 00a."""

    raw: str
    validation: int = Field(gt=0, lt=60_000)


class RecipeSection(Section):
    """:class:`regen_lib.training.Recipe`, checked."""

    epochs: int = Field(ge=1)
    rate: float = Field(gt=0)
    images: int = Field(default=0, ge=0)
    batch: int = Field(default=128, ge=2)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    schedule: Literal["drops", "cycle"] = "drops"
    weight_decay: float = Field(default=5e-4, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)


class NetworkSection(Section):
    """Notebook 00b, one network."""

    options: dict[str, Any]
    first: float = Field(gt=0)
    recipe: RecipeSection


class BankSection(Section):
    """One bank of perturbations: attack, threat model, number, images, options of the attack."""

    attack: str
    norm: Literal["inf", 2]
    xi: float = Field(gt=0)
    target: float = Fraction
    count: int = Field(ge=1)
    split: Literal["train", "validation"]
    start: int = Field(ge=0)
    images: int = Field(ge=1)
    options: dict[str, int | float]

    @model_validator(mode="after")
    def known(self) -> "BankSection":
        if self.attack not in ATTACKS:
            raise ValueError(f"attack {self.attack!r} is unknown: choose one of {', '.join(ATTACKS)}")
        return self


class BanksSection(Section):
    """Notebook 00c."""

    banks: dict[str, BankSection] = Field(min_length=1)


class FilterNorms(Section):
    """Notebook 01."""

    images: int = Field(ge=1)


class Masking(Section):
    """Notebook 02."""

    images: int = Field(ge=1)
    fractions: list[float] = Field(min_length=2)
    layers: int = Field(ge=1)


class Synthesis(Section):
    """Notebook 03."""

    method: Literal["paper", "diverse"]
    count: int = Field(ge=1)
    eta_scale: float = Fraction


class Variant(Section):
    """One way to place units: how many of the positions, on which part of the filters."""

    units: int = Field(ge=1, le=6)
    ratio: float = Fraction


class Training(Section):
    """Notebook 04."""

    recipe: RecipeSection
    probability: float = Fraction
    clip: bool
    width: float = Field(gt=0)
    variants: dict[str, Variant] = Field(min_length=1)


class StrengthsSection(BanksSection):
    """Notebook 00c again, one network."""

    network: Name


class Ablation(Section):
    """Notebook 04 again."""

    network: Name
    recipe: RecipeSection
    variants: dict[str, Variant] = Field(min_length=1)


class Evaluation(Section):
    """Notebook 05."""

    images: int = Field(ge=1)
    clip: bool
    xi: float | None = Field(gt=0)


class Generalization(Section):
    """Notebook 06."""

    images: int = Field(ge=1)
    attacks: list[str] = Field(min_length=1)
    fig5_network: Name
    fig5_layer: str


class Params(Section):
    """The whole of params.yaml."""

    study: Study
    images: ImagesSection
    networks: dict[Name, NetworkSection]
    units: dict[Name, list[str]]
    attacks: BanksSection
    strengths: StrengthsSection
    unseen: dict[str, BanksSection]
    filter_norms: FilterNorms
    masking: Masking
    synthesis: Synthesis
    training: Training
    ablation: Ablation
    evaluation: Evaluation
    generalization: Generalization

    @model_validator(mode="after")
    def consistent(self) -> "Params":
        for name in self.study.networks:
            if name not in self.networks or name not in self.units:
                raise ValueError(f"network {name} is in study.networks: give it a row in networks and one in units")
            if not 1 <= len(self.units[name]) <= 6:
                raise ValueError(f"units.{name} lists {len(self.units[name])} layers: give one to six (Sec. 5.1)")
        if self.ablation.network not in self.study.networks:
            raise ValueError(f"ablation.network {self.ablation.network} is not in study.networks: choose one that is")
        for name in self.generalization.attacks:
            if name not in self.unseen:
                raise ValueError(f"generalization.attacks names {name!r}: give it a row in unseen")
        return self


def load_params(path: Path) -> dict[str, Any]:
    """Read and check a parameter file. :class:`StudyError` names every wrong key, its value and what is allowed."""
    if not path.is_file():
        raise StudyError(f"{path} is missing: run in the study's folder, or copy a file from profiles/ to params.yaml")
    try:
        raw = yaml.safe_load(path.read_text())
        Params.model_validate(raw)
    except yaml.YAMLError as error:
        raise StudyError(f"{path} is no YAML: {error}") from error
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']} (found {short(e['input'])})" for e in error.errors()]
        raise StudyError(f"{path} has {len(lines)} mistakes, compare with profiles/laptop.yaml:\n" + "\n".join(lines)) from error
    return raw


def short(value: object) -> str:
    """A value as an error message can carry it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def lookup(params: dict[str, Any], dotted: str) -> Any:
    """The value at ``a.b.c``; :class:`StudyError` where a part is missing."""
    value: Any = params
    for part in dotted.split("."):
        if not isinstance(value, dict) or part not in value:
            raise StudyError(f"params.yaml has no {dotted!r}: {part!r} is missing")
        value = value[part]
    return value
