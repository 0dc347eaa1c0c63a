"""From a network and a few of its universal perturbations to the network with trained units: Sec. 4.2 and 4.3 in one call."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from regen_lib.core import contract, options
from regen_lib.core.images import Images, as_input
from regen_lib.core.options import Amount, Count, Probability, Share
from regen_lib.core.perturbations import Bank
from regen_lib.core.seeding import generator
from regen_lib.core.surgery import reached
from regen_lib.regeneration.calibration import calibrate
from regen_lib.regeneration.synthesis import ETA_SCALE, make
from regen_lib.regeneration.unit import RATIO, WIDTH, Layers, regenerate, units
from regen_lib.training.loop import fit
from regen_lib.training.noise import Noise
from regen_lib.training.objectives import CleanOutputs
from regen_lib.training.recipe import Recipe

RECIPE = Recipe(epochs=4, rate=0.1, batch=64, schedule="cycle")
SYNTHETIC, PROBABILITY = 2000, 0.4  # perturbations that units meet in training, and how often an image carries one


def train_units(
    network: nn.Module,
    images: Images,
    bank: Bank | Tensor,
    layers: Layers,
    *,
    recipe: Recipe = RECIPE,
    ratio: Share = RATIO,
    width: Amount = WIDTH,
    residual: float = 0.0,
    synthetic: Count = SYNTHETIC,
    eta_scale: Share = ETA_SCALE,
    probability: Probability = PROBABILITY,
    clip: bool = False,
    calibration: Count | None = None,
    seed: int = 0,
    name: str = "units",
    resume: Path | str | None = None,
) -> nn.Module:
    """The defended network: ``network`` with a unit, trained by Eq. 7, on the top ``ratio`` of the filters of each of ``layers``.

    From the ``bank`` Algorithm 1 makes ``synthetic`` perturbations (float32, so 2,000 of 3 x 224 x 224 take 1.2 GB) that its walks leave
    at ``eta_scale`` times the smallest norm in the bank; perturbations ``[K, C, H, W]`` in pixels are taken as they are. While
    training each image carries one of them with ``probability``. ``ratio``, ``width`` (D / N) and ``residual`` are as in
    :func:`regen_lib.regeneration.unit.regenerate`; at a ``residual`` of 0 units start by changing nothing. ``calibration`` images
    measure the scale of the units' channels: needed where nothing divides the pixels. With a folder ``resume`` a training that was
    killed goes on. ``network`` shares its weights with the result and is as it was afterwards. :class:`StudyError` for layers,
    ratios, banks and numbers of images that cannot be used.
    """
    given = {key: value for key, value in locals().items() if key not in ("images", "layers", "seed")}  # which others check better
    options.check_given(train_units, given)
    contract.labelled(images)
    if isinstance(bank, Bank):
        bank = make("paper", bank.perturbations, bank.threat, synthetic, seed=seed, name=bank.network, eta_scale=eta_scale)
    scale = None if calibration is None else images.first(calibration).pixels
    how: Any = {"ratio": ratio, "width": width, "residual": residual, "probability": probability, "clip": clip}
    return trained(network, images, bank, layers, recipe, **how, calibration=scale, seed=seed, name=name, key=name, resume=resume)[0]


def trained(
    network: nn.Module,
    images: Images,
    perturbations: Tensor,
    layers: Layers,
    recipe: Recipe,
    *,
    ratio: float,
    width: float,
    residual: float,
    probability: float,
    clip: bool,
    calibration: Tensor | None,
    seed: int,
    name: str,
    key: str,
    target: str = "labels",
    resume: Path | str | None = None,
) -> tuple[nn.Module, list[float]]:
    """The defended network and its loss after each epoch: :func:`train_units` with ``perturbations`` ``[K, C, H, W]`` as they are.

    The units' first weights are drawn by ``seed`` and ``key``, mini-batches and noise by ``seed`` and ``name``. With the ``target``
    ``outputs`` the network's own answers take the place of the labels (:class:`regen_lib.training.objectives.CleanOutputs`).
    """
    defended = regenerate(network, layers, ratio=ratio, width=width, residual=residual, generator=generator(seed, "units", key))
    reached(defended, layers, as_input(images.first(1).pixels))
    calibrate(defended, calibration)
    noise = Noise(perturbations, probability, clip)
    how: Any = {"noise": noise, "objective": CleanOutputs(network, defended, noise) if target == "outputs" else None}
    return defended, fit(defended, units(defended).values(), images, recipe, seed=seed, name=name, resume=resume, **how)
