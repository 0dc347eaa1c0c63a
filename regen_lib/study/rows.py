"""The rows of params.yaml that several of its sections have: recipes, networks, banks of perturbations, sets of units, defences."""

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from regen_lib.attacks import ATTACKS
from regen_lib.defenses import RIVALS
from regen_lib.networks import NETWORKS
from regen_lib.training.recipe import Recipe

Fraction = Field(gt=0, le=1)
# of a bank's row in params.yaml; any other key is an option of its attack
BANK_KEYS = ("attack", "norm", "xi", "target", "count", "split", "start", "images", "each")


def known_network(name: str) -> str:
    """``name``, if there is such a network."""
    if name not in NETWORKS:
        raise ValueError(f"network {name!r} is unknown: choose one of {', '.join(NETWORKS)}")
    return name


def known_rival(name: str) -> str:
    """``name``, if there is such a defence."""
    if name not in RIVALS:
        raise ValueError(f"defense {name!r} is unknown: choose from {', '.join(RIVALS)}")
    return name


Name = Annotated[str, AfterValidator(known_network)]


class Section(BaseModel):
    """A part of params.yaml: every key known, every value of its type."""

    model_config = ConfigDict(extra="forbid", frozen=True)


if TYPE_CHECKING:
    RecipeSection = Recipe
else:
    RecipeSection = dataclass(Recipe, config=ConfigDict(extra="forbid"), frozen=True)  # the library's own, with every key known


class Pretrained(Section):
    """A network that comes trained: a file of weights or ``torchvision``, and what it subtracts from pixels and divides them by."""

    weights: str
    classes: int = Field(ge=2)
    mean: list[float]
    std: list[float]


class NetworkSection(Section):
    """Notebook 00b, one network: trained, or with weights from elsewhere."""

    options: dict[str, Any]
    conv1_scale: float = Field(default=1.0, gt=0)
    recipe: RecipeSection | Pretrained


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
    each: int | None = Field(default=None, ge=1)
    options: dict[str, bool | int | float | str | list[float]]

    @model_validator(mode="after")
    def known(self) -> "BankSection":
        if self.attack not in ATTACKS:
            raise ValueError(f"attack {self.attack!r} is unknown: choose one of {', '.join(ATTACKS)}")
        return self


class BanksSection(Section):
    """Notebook 00c."""

    banks: dict[str, BankSection] = Field(min_length=1)


Positions = list[str] | dict[str, Annotated[int, Field(ge=1)]]  # convolutions, or convolutions with the width of each unit


class Variant(Section):
    """One way to place and train units: how many of the positions, on which part of the filters, and what else differs."""

    units: int = Field(ge=1)
    ratio: float = Fraction
    width: float | None = Field(default=None, gt=0)
    residual: float | None = Field(default=None, ge=0, le=1)
    probability: float | None = Field(default=None, gt=0, le=1)
    target: Literal["labels", "outputs"] | None = None
    images: int | None = Field(default=None, ge=2)
    layers: Positions | None = None
    recipe: dict[str, Any] | None = None

    @model_validator(mode="after")
    def recipe_known(self) -> "Variant":
        unknown = set(self.recipe or {}) - {field.name for field in fields(Recipe)}
        if unknown:
            raise ValueError(f"recipe has no {', '.join(sorted(unknown))}: choose from {', '.join(field.name for field in fields(Recipe))}")
        return self


class Rival(Section):
    """Notebook 04b, one defence: what it is built upon and with, what its training takes, and the recipe."""

    built_on: str
    options: dict[str, Any] = {}
    training: dict[str, Any] = {}
    recipe: RecipeSection | None = None

    @model_validator(mode="after")
    def not_compiled(self) -> "Rival":
        if self.recipe and self.recipe.compile:
            raise ValueError("recipe.compile serves Eq. 7's loss, not a rival's own: set it to null")
        return self
