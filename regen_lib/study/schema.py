"""What params.yaml may say: one class a section, every key known, every value of its type and within its range."""

import shlex
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, Field

from regen_lib.core.options import Count, Natural, Pixels, Probability, Share, Width
from regen_lib.study.rows import (
    BankSection,
    BanksSection,
    Defense,
    Distinct,
    Label,
    Labels,
    Members,
    Network,
    Networks,
    NetworkSection,
    Positions,
    RecipeSection,
    Rival,
    Section,
    Target,
    Variant,
    inside,
)


def raw_folder(path: str) -> str:
    """``path``, if DVC may keep it as the output that no stage of the study writes into: all else below ``data`` is one's own."""
    if inside(path).parts[:2] != ("data", "raw"):
        raise ValueError("give data/raw or a folder below it, which may be a link to the images")
    return path


def command(text: str) -> str:
    """``text``, if a shell would find words in it."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"is no command ({error}): close the quotation") from error
    if not words:
        raise ValueError("is no command: give one, torchrun for example")
    return text


Text = Annotated[str, Field(min_length=1)]
Variants = Annotated[dict[Label, Variant], Field(min_length=1)]
Parallel = Annotated[int, Ge(1), Le(1024)]  # threads or processes of one machine
Numbers = Annotated[list[Pixels], Field(min_length=1), Distinct]


class Study(Section):
    """What every stage shares."""

    source: Text  # the folder of regen_lib and notebooks, from the study's own
    seed: Annotated[int, Ge(0), Lt(2**63)]
    threads: Parallel
    memory_format: Literal["channels_last", "contiguous"]
    tf32: bool = False  # a GPU's float32 products with ten bits of each factor: one and a half times as fast
    networks: Networks
    miniature: bool = False  # settings so small that no number means anything: notebooks say so


class ImagesSection(Section):
    """Notebook 00a: where images come from, and what that source wants to know."""

    source: Literal["fashion_mnist", "cifar10", "image_folder"]
    raw: Annotated[str, AfterValidator(raw_folder)]
    validation: Count
    options: dict[str, Any]


class Launch(Section):
    """How a stage starts: in one process, or with ``launcher`` (torchrun, or a cluster's command before it) in several on a machine."""

    launcher: Annotated[str, AfterValidator(command)]
    processes: Parallel


class FilterNorms(Section):
    """Notebook 01."""

    images: Count
    bank: Label


class Masking(Section):
    """Notebook 02."""

    images: Count
    bank: Label
    fractions: Annotated[list[Probability], Field(min_length=2), Distinct]
    layers: Annotated[int, Ge(2)]  # Fig. 3 shows the first, Fig. S1 the others


class Synthesis(Section):
    """Notebook 03."""

    method: Literal["paper", "diverse"]
    count: Members
    eta_scale: Share


class Training(Section):
    """Notebook 04."""

    recipe: RecipeSection
    probability: Share
    clip: bool
    width: Width
    residual: Probability
    calibration: Count | None
    stream: bool
    target: Target
    variants: Variants


class StrengthsSection(BanksSection):
    """Notebook 00c again, one network."""

    network: Network


class Ablation(Section):
    """Notebook 04 again."""

    network: Network
    recipe: RecipeSection
    variants: Variants
    choices: Variants


class Evaluation(Section):
    """Notebooks 05 and 05b."""

    images: Count
    clip: bool
    xi: Pixels | None


class Generalization(Section):
    """Notebook 06."""

    images: Count
    attacks: Labels
    control: Label
    strengths: Numbers
    costs: Annotated[Labels, Field(min_length=2)]


class Examples(Section):
    """Notebook 06b."""

    shown: Labels
    network: Network
    layer: Text


class Hardening(Section):
    """Notebook 07a."""

    rounds: Count
    count: Annotated[Members, Ge(2)]
    probability: Share
    old_bank_share: Annotated[float, Gt(0), Lt(1)]
    recipe: RecipeSection
    attacks: Annotated[dict[Label, BankSection], Field(min_length=1)]


class WhiteBox(Section):
    """Notebook 07c."""

    attacks: Labels
    images: Count


class Comparison(Section):
    """Notebook 08."""

    images: Count
    epsilon: Pixels
    targeted: Label
    towards: Natural
    white_box: Labels


class Secondary(Section):
    """Notebooks 07a to 07c."""

    hardened: Networks
    fig6_network: Network
    fig6_defenses: Labels
    training: Hardening
    white_box: BanksSection
    fig6: BanksSection
    evaluation: WhiteBox


class RealImages(Section):
    """Notebook 09."""

    images: Count
    attacks: Labels
    variants: dict[Network, Annotated[list[Label], Distinct]]
    reads: Literal["units/ours", "ablation"]  # the folder of data that holds the variants


class Params(Section):
    """The whole of params.yaml."""

    study: Study
    run: Launch
    images: ImagesSection
    networks: dict[Network, NetworkSection]
    positions: dict[Label, dict[Network, Positions]] | None = None  # named sets to choose units from, by YAML's & and *
    units: dict[Network, Positions]
    uaps: BanksSection
    strengths: StrengthsSection
    unseen: dict[Label, BanksSection]
    filter_norms: FilterNorms
    masking: Masking
    synthesis: Synthesis
    training: Training
    ablation: Ablation
    real_images: dict[Label, RealImages]
    evaluation: Evaluation
    generalization: Generalization
    examples: Examples
    secondary: Secondary
    rivals: dict[Defense, Rival]
    comparison: Comparison
