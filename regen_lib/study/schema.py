"""What params.yaml may say: one class a section, every key known, every value of its type, every name there."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from regen_lib.study.rows import (
    BankSection,
    BanksSection,
    Fraction,
    Name,
    NetworkSection,
    RecipeSection,
    Rival,
    Section,
    Variant,
    known_rival,
)


class Study(Section):
    """What every stage shares."""

    source: str  # the folder of regen_lib and notebooks, from the study's own
    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    memory_format: Literal["channels_last", "contiguous"]
    networks: list[Name] = Field(min_length=1)


class ImagesSection(Section):
    """Notebook 00a: where images come from, and what that source wants to know."""

    source: Literal["fashion_mnist", "cifar10", "image_folder"]
    raw: str
    validation: int = Field(gt=0)
    options: dict[str, Any]


class Launch(Section):
    """How a stage starts: in one process, or with ``launcher`` (torchrun, or a cluster's command before it) in several on a machine."""

    launcher: str
    processes: int = Field(ge=1)


class FilterNorms(Section):
    """Notebook 01."""

    images: int = Field(ge=1)
    bank: str


class Masking(Section):
    """Notebook 02."""

    images: int = Field(ge=1)
    bank: str
    fractions: list[float] = Field(min_length=2)
    layers: int = Field(ge=1)


class Synthesis(Section):
    """Notebook 03."""

    method: Literal["paper", "diverse"]
    count: int = Field(ge=1)
    eta_scale: float = Fraction


class Training(Section):
    """Notebook 04."""

    recipe: RecipeSection
    probability: float = Fraction
    clip: bool
    width: float = Field(gt=0)
    residual: float = Field(ge=0, le=1)
    calibration: int | None = Field(ge=1)
    stream: str | None
    variants: dict[str, Variant] = Field(min_length=1)


Positions = list[str] | dict[str, Annotated[int, Field(ge=1)]]  # convolutions, or convolutions with the width of each unit


class StrengthsSection(BanksSection):
    """Notebook 00c again, one network."""

    network: Name


class Ablation(Section):
    """Notebook 04 again."""

    network: Name
    recipe: RecipeSection
    variants: dict[str, Variant] = Field(min_length=1)
    choices: dict[str, Variant] = Field(min_length=1)


class Evaluation(Section):
    """Notebook 05."""

    images: int = Field(ge=1)
    clip: bool
    xi: float | None = Field(gt=0)


class Generalization(Section):
    """Notebook 06."""

    images: int = Field(ge=1)
    attacks: list[str] = Field(min_length=1)
    control: str
    strengths: list[float] = Field(min_length=1)
    costs: list[str] = Field(min_length=2)
    shown: list[str] = Field(min_length=1)
    fig5_network: Name
    fig5_layer: str


class Hardening(Section):
    """Notebook 07a."""

    rounds: int = Field(ge=1)
    count: int = Field(ge=2)
    probability: float = Fraction
    old_bank_share: float = Field(gt=0, lt=1)
    recipe: RecipeSection
    attacks: dict[str, BankSection] = Field(min_length=1)


class WhiteBox(Section):
    """Notebook 07c."""

    attacks: list[str] = Field(min_length=1)
    images: int = Field(ge=1)


class Comparison(Section):
    """Notebook 08."""

    images: int = Field(ge=1)
    epsilon: float = Field(gt=0)
    targeted: str
    towards: int = Field(ge=0)
    white_box: list[str] = Field(min_length=1)


class Secondary(Section):
    """Notebooks 07a to 07c."""

    hardened: list[Name] = Field(min_length=1)
    fig6_network: Name
    fig6_defenses: list[str] = Field(min_length=1)
    training: Hardening
    white_box: BanksSection
    fig6: BanksSection
    evaluation: WhiteBox

    @model_validator(mode="after")
    def consistent(self) -> "Secondary":
        if self.fig6_network not in self.hardened:
            raise ValueError(f"secondary.fig6_network {self.fig6_network} is not in secondary.hardened: choose one that is")
        for name in self.evaluation.attacks:
            if name not in self.white_box.banks:
                raise ValueError(f"secondary.evaluation.attacks names {name!r}: give it a row in secondary.white_box")
        return self


class RealImages(Section):
    """Notebook 09."""

    images: int = Field(ge=1)
    attacks: list[str] = Field(min_length=1)


class Params(Section):
    """The whole of params.yaml."""

    study: Study
    run: Launch
    images: ImagesSection
    networks: dict[Name, NetworkSection]
    positions: dict[str, dict[Name, Positions]] | None = None  # named sets to choose units from, by YAML's & and *
    units: dict[Name, Positions]
    uaps: BanksSection
    strengths: StrengthsSection
    unseen: dict[str, BanksSection]
    filter_norms: FilterNorms
    masking: Masking
    synthesis: Synthesis
    training: Training
    ablation: Ablation
    real_images: dict[str, RealImages]
    evaluation: Evaluation
    generalization: Generalization
    secondary: Secondary
    rivals: dict[Annotated[str, AfterValidator(known_rival)], Rival]
    comparison: Comparison

    @model_validator(mode="after")
    def consistent(self) -> "Params":
        for name in self.study.networks:
            if name not in self.networks or name not in self.units:
                raise ValueError(f"network {name} is in study.networks: give it a row in networks and one in units")
            places = self.units[name]
            if not places or (isinstance(places, list) and len(places) > 6):
                raise ValueError(f"units.{name} lists {len(places)} layers: give one to six (Sec. 5.1), or any number with a width each")
        if self.ablation.network not in self.study.networks:
            raise ValueError(f"ablation.network {self.ablation.network} is not in study.networks: choose one that is")
        made = {bank for section in self.unseen.values() for bank in section.banks}
        given = self.generalization
        for name in (*given.attacks, given.control, *given.costs, *given.shown, self.comparison.targeted):
            if name not in made | set(self.uaps.banks):
                raise ValueError(f"generalization or comparison names the bank {name!r}: give it a row in uaps or unseen")
        for name in (self.filter_norms.bank, self.masking.bank):
            if name not in made | set(self.uaps.banks):
                raise ValueError(f"filter_norms or masking names the bank {name!r}: give it a row in uaps or unseen")
        for name, rival in self.rivals.items():
            if rival.built_on not in {"networks", *(f"defenses/{other}" for other in self.rivals if other != name)}:
                raise ValueError(f"rivals.{name}.built_on is {rival.built_on!r}: choose networks, or defenses/ and the name of another row")
        for name in self.secondary.fig6_defenses:
            if name not in {"undefended", "ours", "hardened", *self.rivals}:
                raise ValueError(f"secondary.fig6_defenses names {name!r}: give it a row in rivals")
        return self
