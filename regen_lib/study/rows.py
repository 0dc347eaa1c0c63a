"""The rows of params.yaml that several of its sections have: recipes, networks, banks of perturbations, sets of units, defences."""

from dataclasses import MISSING, fields
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, get_type_hints

from annotated_types import Ge, Le
from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, create_model, model_validator

from regen_lib.attacks import ATTACKS
from regen_lib.core.options import Count, Natural, Probability, Share, Size, Width
from regen_lib.defenses import RIVALS
from regen_lib.networks import NETWORKS
from regen_lib.study.files import NAME
from regen_lib.training.recipe import Recipe

MOST = 1e6  # of any amount: it, its square and their inverses are neither 0 nor infinite in float32
Amount = Annotated[float, Ge(1 / MOST), Le(MOST)]
XI = {"inf": Annotated[float, Ge(1 / MOST), Le(255)], 2: Amount}  # by the norm
Members = Annotated[int, Ge(1), Le(1_000_000)]  # perturbations: the paper has 2,000, and a million of ImageNet's size fill 600 GB
# of a bank's row in params.yaml; any other key is an option of its attack
BANK_KEYS = ("attack", "norm", "xi", "target", "count", "split", "start", "images", "each")


def one_of(kind: str, names: tuple[str, ...], name: str) -> str:
    """``name``, if it is one of ``names``."""
    if name not in names:
        raise ValueError(f"{kind} {name!r} is unknown: choose one of {', '.join(names)}")
    return name


def each_once(values: list[Any]) -> list[Any]:
    """``values``, if none of them is there twice."""
    if twice := sorted({str(value) for value in values if values.count(value) > 1}):
        raise ValueError(f"names {', '.join(twice)} twice: name each once")
    return values


def inside(path: str) -> PurePosixPath:
    """``path``, if it leads nowhere but below the folder that it starts from."""
    found = PurePosixPath(path)
    if found.is_absolute() or ".." in found.parts or "\0" in path:
        raise ValueError("leads out of the folder, where DVC sees no change: give a path below it, without ..")
    return found


def below_raw(path: str) -> str:
    """``path``, if it leads nowhere but below images.raw, where weights lie."""
    inside(path)
    return path


def form(value: Any) -> str:
    """Whether a value is meant as keys with values."""
    return "<mapping>" if isinstance(value, dict) else "<list>"


def trained(value: Any) -> str:
    """Whether a network is to be trained or comes trained."""
    return "<pretrained>" if isinstance(value, Pretrained) or (isinstance(value, dict) and "weights" in value) else "<mapping>"


Network = Annotated[str, AfterValidator(partial(one_of, "network", NETWORKS))]
Attack = Annotated[str, AfterValidator(partial(one_of, "attack", ATTACKS))]
Defense = Annotated[str, AfterValidator(partial(one_of, "defense", RIVALS))]
# of a bank, a set of units, a table: they become names of files
Label = Annotated[str, Field(pattern=f"^{NAME}$")]
Norm = Literal["inf", 2]
Target = Literal["labels", "outputs"]  # what units are trained towards
Distinct = AfterValidator(each_once)
Labels = Annotated[list[Label], Field(min_length=1), Distinct]
Networks = Annotated[list[Network], Field(min_length=1), Distinct]
Layers = Annotated[list[str], Field(min_length=1), Distinct]
# convolutions, or convolutions with the width of each unit
Positions = Annotated[
    Annotated[Annotated[list[str], Field(min_length=1, max_length=6), Distinct], Tag("<list>")]
    | Annotated[Annotated[dict[str, Size], Field(min_length=1)], Tag("<mapping>")],
    Discriminator(form),
]


class Section(BaseModel):
    """A part of params.yaml: every key known, every value of its type and finite. Nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class CheckedRecipe(Section):
    """What makes a :class:`Recipe`."""

    @model_validator(mode="after")
    def consistent(self) -> "CheckedRecipe":
        Recipe(**self.model_dump())
        return self


hints = get_type_hints(Recipe, include_extras=True)
hints["rate"] = Amount  # a training itself would have to find out that a larger one is none
whole: dict[str, Any] = {f.name: (hints[f.name], ... if f.default is MISSING else f.default) for f in fields(Recipe)}
part: dict[str, Any] = {f.name: (hints[f.name], None) for f in fields(Recipe)}
RecipeSection: Any = create_model("RecipeSection", __base__=CheckedRecipe, **whole)
PartOfRecipe: Any = create_model("PartOfRecipe", __base__=Section, **part)


class Pretrained(Section):
    """A network that comes trained: a file of weights or ``torchvision``, and what it subtracts from pixels and divides them by."""

    weights: Annotated[str, Field(min_length=1), AfterValidator(below_raw)]  # below images.raw
    classes: Annotated[Size, Ge(2)]
    mean: list[Annotated[float, Ge(-MOST), Le(MOST)]]
    std: list[Amount]


class NetworkSection(Section):
    """Notebook 00b, one network: trained, or with weights from elsewhere."""

    options: dict[str, Any]
    conv1_scale: Amount = 1.0
    recipe: Annotated[Annotated[RecipeSection, Tag("<mapping>")] | Annotated[Pretrained, Tag("<pretrained>")], Discriminator(trained)]


class BankSection(Section):
    """One bank of perturbations: attack, threat model, number, images, options of the attack."""

    attack: Attack
    norm: Norm
    xi: Amount
    target: Share
    count: Members
    split: Literal["train", "validation"]
    start: Natural
    images: Count
    each: Count | None = None
    options: dict[str, Any]  # what the attack's signature says of them: regen_lib.study.possible


class BanksSection(Section):
    """Notebook 00c."""

    banks: dict[Label, BankSection] = Field(min_length=1)


class Variant(Section):
    """One way to place and train units: how many of the positions, on which part of the filters, and what else differs."""

    units: Count
    ratio: Share
    width: Width | None = None
    residual: Probability | None = None
    probability: Share | None = None
    target: Target | None = None
    images: Annotated[int, Ge(2)] | None = None
    layers: Positions | None = None
    recipe: PartOfRecipe | None = None


class Rival(Section):
    """Notebook 04b, one defence: what it is built upon and with, what its training takes, and the recipe."""

    built_on: str
    options: dict[str, Any]
    training: dict[str, Any]
    recipe: RecipeSection | None

    @model_validator(mode="after")
    def not_compiled(self) -> "Rival":
        if self.recipe and self.recipe.compile:
            raise ValueError("recipe.compile serves Eq. 7's loss, not a rival's own: set it to null")
        return self
