"""The defences compared: one file each, found by name.

A file's function of its own name builds the defence around a frozen network, ``name(network, **options) -> Defended``. Where
the defence learns or calibrates, the file has ``train(defended, data, recipe, *, seed, name, **options)`` too, which
takes the options of ``training`` in its row of params.yaml.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from inspect import signature
from types import ModuleType, NoneType
from typing import TYPE_CHECKING, Any, get_type_hints

from regen_lib.core import options as declared
from regen_lib.core.errors import StudyError
from regen_lib.core.registry import found_in
from regen_lib.training.recipe import Recipe

if TYPE_CHECKING:  # schema.py asks for the names alone, and should not wait for torch
    from torch import nn

    from regen_lib.core.images import Images
    from regen_lib.core.perturbations import Bank
    from regen_lib.defenses._shared.base import Defended, TrainingData

UNITS = ("ours", "hardened")  # the paper's defence, its units as first trained and after iterative training
RIVALS = found_in("defenses")
DEFENSES = ("undefended", *UNITS, *RIVALS)
FILLED = ("layers", "shape", "channels", "size")  # options that come from the network and the images
RUN = ("seed", "name")  # of a training: what the study fills in


def find(name: str) -> ModuleType:
    """The file of the defence of that name; :class:`StudyError` for an unknown one."""
    if name not in RIVALS:
        raise StudyError(f"defense {name!r} is unknown: choose one of {', '.join(RIVALS)}")
    return import_module(f"regen_lib.defenses.{name}")


def make(name: str, network: "nn.Module", spec: Mapping[str, Any], data: "TrainingData", *, seed: int) -> "Defended":
    """The defence that a row of params.yaml describes, ready for use.

    ``options`` build it, ``training`` and ``recipe`` train it, ``data.built_on`` is the defence that it is built upon, if any. One
    that asks for ``layers``, ``shape``, ``channels`` or ``size`` gets the network's unit positions and the images' measures.
    :class:`StudyError` for what breaks the contract (:mod:`regen_lib.core.contract`); ``network`` is left as it is.
    """
    from regen_lib.core import contract

    for key, value, why in mistakes(name, spec):
        raise StudyError(f"{name}: {key} {why}" if value is ... else f"{name}: {key} is {value!r}: {why}")
    module = find(name)
    data.check()
    contract.images(data.images.pixels)
    contract.to_learn_from(data.bank.perturbations, data.images.pixels)
    contract.labels(data.images.labels, len(data.images), contract.network(network, data.images.pixels))
    options = {**known(name, data), **spec.get("options", {})}
    defended: Defended = getattr(module, name)(network, **options)
    defended.made = (name, options)
    if hasattr(module, "train"):
        recipe = Recipe(**spec["recipe"]) if spec.get("recipe") else None
        label = f"{name} {defended.family}"
        defended.losses = module.train(defended, data, recipe, seed=seed, name=label, **spec.get("training", {})) or ()
    defended.eval().requires_grad_(False)
    return defended


def known(name: str, data: "TrainingData") -> dict[str, Any]:
    """Those of the options of a defence that the network's layers and the images say; :class:`StudyError` where they cannot be used."""
    shape = list(data.images.pixels.shape[1:])
    says = {"layers": list(data.layers), "shape": shape, "channels": shape[0], "size": shape[1]}
    asked = {key: value for key, value in says.items() if key in signature(getattr(find(name), name)).parameters}
    if "size" in asked and shape[1] != shape[2]:
        raise StudyError(f"{name} is defined on square images, these are {shape[1]} x {shape[2]}: crop them, or choose another defence")
    if "layers" in asked and not data.layers:
        raise StudyError(f"{name} needs layers: give the convolutions whose features it protects")
    return asked


def mistakes(name: str, spec: Mapping[str, Any]) -> Iterator[declared.Mistake]:
    """What is wrong with the options that build the defence and those that train it, and with its recipe, by their signatures."""
    module = find(name)
    for key, value, why in declared.mistakes(getattr(module, name), spec.get("options", {}), FILLED):
        yield declared.Mistake(f"options.{key}", value, why)
    training, recipe = spec.get("training", {}), spec.get("recipe")
    if not hasattr(module, "train"):
        if training or recipe:
            yield declared.Mistake("training" if training else "recipe", training or recipe, f"{name} is not trained: remove it")
        return
    for key, value, why in declared.mistakes(module.train, training, RUN):
        yield declared.Mistake(f"training.{key}", value, why)
    wanted = get_type_hints(module.train)["recipe"]
    if wanted is NoneType and recipe:
        yield declared.Mistake("recipe", recipe, f"{name} is fitted without one: remove it")
    if wanted not in (NoneType, Recipe | None) and not recipe:
        yield declared.Mistake("recipe", None, f"{name} is trained: give it a recipe")


def defend(
    name: str,
    network: "nn.Module",
    images: "Images",
    bank: "Bank",
    /,  # their names are options of some defences: prn_det has `images`
    *,
    layers: Sequence[str] = (),
    recipe: Recipe | None = None,
    built_on: "Defended | None" = None,
    seed: int = 0,
    **options: Any,
) -> "Defended":
    """The defence called ``name`` (one of ``RIVALS``) around ``network``, trained on ``images`` and a ``bank`` of perturbations.

    ``layers`` are the convolutions that a defence of features protects, ``recipe`` is how to train one that learns, ``built_on`` the
    defence that another is built upon. ``options`` are those of the function of that name and of ``train`` in its file. ``network`` is as
    it was afterwards. :class:`StudyError` for an unknown name or option, and for what the defence needs and was not given.
    """
    from dataclasses import asdict

    from regen_lib.core.seeding import whole
    from regen_lib.defenses._shared.base import Defended, TrainingData

    kinds = {"recipe": (recipe, Recipe | None), "layers": (layers, Sequence[str]), "built_on": (built_on, Defended | None)}
    for key, (value, kind) in kinds.items():
        declared.check_value("defend", key, value, kind)
    spec = {**sorted_out(name, options), "recipe": asdict(recipe) if recipe else None}
    return make(name, network, spec, TrainingData(images, bank, tuple(layers), built_on), seed=whole(seed))


def sorted_out(name: str, options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """``options`` as a row of params.yaml has them: those that build the defence, and those that train it."""
    module = find(name)
    builds = declared.options(getattr(module, name)).keys() - set(FILLED)
    trains = declared.options(module.train).keys() - set(RUN) if hasattr(module, "train") else set()
    if unknown := sorted(options.keys() - builds - trains):
        raise StudyError(
            f"{name} has no option {', '.join(unknown)}: choose from {', '.join(sorted(builds | trains)) or 'none, it has none'}"
        )
    return {kind: {key: options[key] for key in options if key in taken} for kind, taken in (("options", builds), ("training", trains))}
