"""Every rival defence keeps the protocol: made, kept, found again, differentiable, nothing else trained."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from regen_lib import defenses
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.perturbations import Threat
from regen_lib.core.storage import read_tensors, weights_hash
from regen_lib.defenses._shared.base import Defended, TrainingData
from regen_lib.defenses._shared.files import save_defense
from regen_lib.defenses._shared.retraining import Retrained
from regen_lib.study.defended import load_defended

WIDE = Threat(math.inf, 60.0, 1.0)
RECIPE = {"epochs": 2, "rate": 2e-3, "batch": 8, "optimizer": "adamw", "schedule": "cycle"}
UNITS = {"training": {"synthetic": 20, "eta_scale": 0.5}, "recipe": RECIPE | {"optimizer": "sgd"}}
SPECS: dict[str, dict[str, Any]] = {
    "regeneration_outputs": UNITS,
    "regeneration_first": UNITS,
    "prn": {"options": {"maps": 4, "blocks": 1}, "recipe": RECIPE},
    "prn_det": {"built_on": "prn", "options": {"maps": 4, "blocks": 1}, "training": {"images": 40}},
    "hgd": {"options": {"width": 4}, "recipe": RECIPE},
    "pixel_deflection": {"options": {"deflections": 20, "window": 3}},
    "jpeg": {"options": {"quality": 30}},
    "feature_distillation": {},
    "feature_norm_clipping": {"options": {"alpha": 0.8}, "recipe": None},
    "dead_zone": {"options": {"threshold": 61}},
    "clamp": {},
    "median_filter": {"options": {"window": 3}},
    "gaussian_blur": {"options": {"sigma": 0.8}},
    "adversarial_training": {"training": {"epsilon": 8, "steps": 2}, "recipe": RECIPE},
    "feature_denoising": {"training": {"epsilon": 8, "steps": 2}, "recipe": RECIPE},
    "shared_adversarial_training": {"training": {"epsilon": 8, "heap": 4}, "recipe": RECIPE},
    "universal_adversarial_training": {"training": {"epsilon": 8}, "recipe": RECIPE},
    "democratic_training": {"training": {"epsilon": 8}, "recipe": RECIPE},
}
TRANSFORMS = ("jpeg", "feature_distillation", "pixel_deflection", "dead_zone", "clamp")


def made(name: str, network: nn.Module, training_data: TrainingData) -> Defended:
    """The defence of that row, built upon the one that it names."""
    built_on = SPECS[name].get("built_on")
    ready = replace(training_data, built_on=made(built_on, network, training_data)) if built_on else training_data
    return defenses.make(name, network, SPECS[name], ready, seed=0)


def test_every_rival_has_a_row_here() -> None:
    assert sorted(SPECS) == sorted(defenses.RIVALS)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_a_defence_is_made_kept_and_found_again(
    tmp_path: Path, network: nn.Module, images: Images, training_data: TrainingData, name: str
) -> None:
    frozen, x = weights_hash(network), images.pixels[:6].float()
    before = network(x)
    defended = made(name, network, training_data)
    assert weights_hash(network) == frozen
    assert not defended.training
    assert not any(parameter.requires_grad for parameter in defended.parameters())
    path = tmp_path / "defenses" / name / "vgg16.safetensors"
    save_defense(path, defended)
    again = made(name, network, training_data)
    save_defense(tmp_path / "again.safetensors", again)
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    assert not any(key.startswith("network.") for key in read_tensors(path, "defense")[0])  # the frozen network is kept once
    loaded = load_defended(tmp_path, "vgg16", name, network)
    assert torch.equal(loaded(x), again(x))
    assert torch.equal(network(x), before)
    with torch.no_grad():
        network.conv1_1.weight += 1e-3
    with pytest.raises(StudyError, match="for other weights"):
        load_defended(tmp_path, "vgg16", name, network)
    path.rename(tmp_path / "defenses" / name / "other.safetensors")
    with pytest.raises(StudyError, match="is missing"):
        load_defended(tmp_path, "vgg16", name, network)


def test_unknown_defences_and_settings(network: nn.Module, training_data: TrainingData) -> None:
    with pytest.raises(StudyError, match="choose one of adversarial_training, clamp"):
        defenses.find("base")
    with pytest.raises(StudyError, match="give one of gaussian, dot"):
        defenses.make("feature_denoising", network, {**SPECS["feature_denoising"], "options": {"kind": "median"}}, training_data, seed=0)
    with pytest.raises(StudyError, match="give one of logits, features"):
        defenses.make("hgd", network, {**SPECS["hgd"], "training": {"guide": "pixels"}}, training_data, seed=0)
    with pytest.raises(StudyError, match="takes its rectifier from a trained PRN: set built_on to defenses/prn"):
        defenses.make("prn_det", network, SPECS["prn_det"], training_data, seed=0)
    wide = defenses.make("prn", network, {**SPECS["prn"], "options": {"maps": 8, "blocks": 1}}, training_data, seed=0)
    with pytest.raises(StudyError, match="differ in maps or blocks"):
        defenses.make("prn_det", network, SPECS["prn_det"], replace(training_data, built_on=wide), seed=0)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_gradients_pass_straight_through(network: nn.Module, images: Images, training_data: TrainingData, name: str) -> None:
    """BPDA: the gradient at x is that of the network at the transformed image."""
    defended = defenses.make(name, network, SPECS[name], training_data, seed=0)
    x = images.pixels[:4].float().mul(1.1).sub(10).requires_grad_()  # some values are outside of 0-255
    state = defended.rng.get_state() if name == "pixel_deflection" else None
    (gradient,) = torch.autograd.grad(defended(x).square().sum(), x)
    if state is not None:
        defended.rng.set_state(state)
    changed = defended.transform(x).detach().requires_grad_()
    (expected,) = torch.autograd.grad(network(changed).square().sum(), changed)
    assert not torch.equal(changed, x)
    torch.testing.assert_close(gradient, expected)
    assert bool(gradient.isfinite().all())
    assert float(gradient.abs().max()) > 0


def test_own_is_what_is_trained(network: nn.Module, training_data: TrainingData) -> None:
    counts = {name: defenses.make(name, network, SPECS[name], training_data, seed=0).trained() for name in (*TRANSFORMS, "hgd")}
    whole = sum(p.numel() for p in network.parameters())
    retrained = Retrained(network)
    assert [counts[name] for name in TRANSFORMS] == [0] * len(TRANSFORMS)
    assert isinstance(retrained, Defended)
    assert retrained.trained() == whole
    assert 0 < counts["hgd"] != whole
