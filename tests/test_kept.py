"""Files: none is written that cannot be read back, and a sound one is not blamed for what was given with it."""

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import regen_lib as rl
from regen_lib.core.storage import weights_hash
from regen_lib.networks import build
from tests.conftest import TASK, rng

V, ANEW = torch.full((2, *TASK.shape), 20.0), "make it again"


def bank(**other: Any) -> rl.Bank:
    given = {"perturbations": V, "threat": rl.Threat(math.inf, 20), "attack": "signs", "network": "vgg16", "network_hash": "h", "seed": 0}
    return rl.Bank(**{**given, "fooling": (0.5, 0.25), **other})


def defended(network: nn.Module) -> nn.Module:
    return rl.regenerate(network, ["conv1_1"], generator=rng())


def headless(network: nn.Module) -> nn.Module:
    other = copy.deepcopy(network)
    other.fc8 = nn.Linear(other.fc8.in_features, 7)
    return other


def spoilt(network: nn.Module) -> nn.Module:
    other = copy.deepcopy(network)
    other.fc8.bias.data[0] = math.nan
    return other


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (defended, r"not the vgg16 that networks.build made.*conv1_1.* keep units with save_units"),
        (
            headless,
            r"fc8.* is torch.float32 \(7,.*expected torch.float32 \(4,.*keep units with save_units, any other change with torch.save",
        ),
        (spoilt, "fc8.bias holds NaN or infinity"),
        (nn.Module.double, "is torch.float64"),
    ],
)
def test_a_network_that_was_changed_is_not_written(
    tmp_path: Path, network: nn.Module, change: Callable[[nn.Module], nn.Module], said: str
) -> None:
    with pytest.raises(rl.StudyError, match=said):
        rl.save_network(tmp_path / "n.safetensors", change(network))
    assert not list(tmp_path.iterdir())


def test_saving_a_network_draws_nothing(tmp_path: Path, network: nn.Module) -> None:
    """Though one like it is built."""
    torch.manual_seed(4)
    before = torch.get_rng_state()
    rl.save_network(tmp_path / "n.safetensors", network)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def jpeg(network: nn.Module, images: rl.Images) -> nn.Module:
    return rl.defend("jpeg", network, images, bank())


def test_a_defence_is_no_network_to_write(tmp_path: Path, jpeg: nn.Module) -> None:
    with pytest.raises(rl.StudyError, match=r"JPEG was not made by networks.build: keep it with save_defense"):
        rl.save_network(tmp_path / "n.safetensors", jpeg)


def test_units_on_a_defence_are_kept_as_units(tmp_path: Path, network: nn.Module, jpeg: nn.Module) -> None:
    """And a defence around a network with units is one like any other."""
    both = rl.regenerate(jpeg, ["network.conv1_1"], generator=rng())
    with pytest.raises(
        rl.StudyError, match=r"the network that jpeg is built around was changed since.*save_units\(path, defended, network="
    ):
        rl.save_defense(tmp_path / "d.safetensors", both)
    assert not list(tmp_path.iterdir())
    rl.save_defense(tmp_path / "d.safetensors", jpeg)
    rl.save_units(tmp_path / "u.safetensors", both, network=jpeg, layers=["network.conv1_1"], ratio=0.5, width=1.0)
    again = rl.load_units(tmp_path / "u.safetensors", rl.load_defense(tmp_path / "d.safetensors", network))
    assert weights_hash(again) == weights_hash(both)


def test_a_defence_around_units_is_kept(tmp_path: Path, network: nn.Module, images: rl.Images) -> None:
    inner = defended(network)
    rl.save_defense(tmp_path / "d.safetensors", rl.defend("jpeg", inner, images, bank()))
    found = rl.load_defense(tmp_path / "d.safetensors", inner)
    with pytest.raises(rl.StudyError, match="was changed since"):
        rl.save_defense(tmp_path / "d.safetensors", rl.regenerate(found, ["network.conv2_1"], generator=rng()))


def test_a_defence_that_was_changed_is_not_written(tmp_path: Path, network: nn.Module, images: rl.Images) -> None:
    prn = rl.defend("prn", network, images, bank(), recipe=rl.Recipe(epochs=1, rate=0.01, batch=16), maps=4, blocks=1)
    prn.rectifier[0] = nn.Conv2d(1, 4, 5, padding=2)
    with pytest.raises(rl.StudyError, match=r"this is not the prn that defend made.*rectifier.0.weight is torch.float32 \(4, 1, 5, 5\)"):
        rl.save_defense(tmp_path / "d.safetensors", prn)
    assert not list(tmp_path.iterdir())


def test_units_that_are_not_finite_are_not_written(tmp_path: Path, network: nn.Module) -> None:
    units = defended(network)
    units.conv1_1.unit.conv1.weight.data[0] = math.nan
    with pytest.raises(rl.StudyError, match=r"conv1_1\|conv1.weight holds NaN"):
        rl.save_units(tmp_path / "u.safetensors", units, network=network, layers=["conv1_1"], ratio=0.5, width=1.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"fooling": ()}, "0 fooling ratios of 2 perturbations: give one of each"),
        ({"fooling": 0.5}, "1 fooling ratios of 2 perturbations"),
        ({"fooling": ("a", "b")}, "fooling holds 'a': give a list of numbers"),
        ({"history": (None,)}, "history holds None: give a list of numbers"),
        ({"threat": None}, "threat is None: give a Threat"),
        ({"perturbations": [1]}, r"perturbations is \[1\]: give a Tensor"),
        ({"attack": 3}, "attack is 3: give a text"),
        ({"seed": 1.5}, "seed is 1.5: give a whole number"),
    ],
)
def test_no_such_bank(other: dict[str, Any], said: str) -> None:
    with pytest.raises(rl.StudyError, match=said):
        bank(**other)


def test_numbers_of_numpy_are_written_as_those_of_python(tmp_path: Path) -> None:
    """The same bytes; a bank's own numbers are plain from the start."""
    kinds = {"seed": np.int64(3), "fooling": (np.float32(0.5), np.float64(0.25)), "history": [np.float32(0.5)], "gradients": np.float32(2)}
    theirs = bank(**kinds, threat=rl.Threat(np.float64(math.inf), np.float32(20), np.float32(0.5)))
    ours = bank(seed=3, history=(0.5,), gradients=2.0, threat=rl.Threat(math.inf, 20.0, 0.5))
    for name, each in (("theirs", theirs), ("ours", ours)):
        rl.save_bank(tmp_path / name, each)
    assert (tmp_path / "theirs").read_bytes() == (tmp_path / "ours").read_bytes()
    assert type(theirs.seed) is int
    assert {type(theirs.threat.norm), type(theirs.threat.xi), type(theirs.threat.target), *map(type, theirs.fooling)} == {float}
    assert rl.load_bank(tmp_path / "theirs").threat == ours.threat


def test_whole_numbers_stay_whole(tmp_path: Path) -> None:
    """What was written before is written the same."""
    rl.save_bank(tmp_path / "b", bank(fooling=(0, 1)))
    text = (tmp_path / "b").read_bytes()
    written = json.loads(json.loads(text[8 : 8 + int.from_bytes(text[:8], "little")])["__metadata__"]["regen_lib"])
    assert (written["threat"], written["fooling"]) == ({"norm": "inf", "xi": 20, "target": 0.8}, [0, 1])
    assert type(written["threat"]["xi"]) is type(written["fooling"][0]) is int


@pytest.mark.parametrize(("norm", "xi"), [(math.inf, True), (torch.tensor(2), 10), (2, torch.tensor(10.0)), (None, 10)])
def test_threats_are_of_numbers(norm: Any, xi: Any) -> None:
    with pytest.raises(rl.StudyError, match=r"give (math.inf|numbers)"):
        rl.Threat(norm, xi)


def test_options_of_numpy_can_be_written(tmp_path: Path, network: nn.Module, images: rl.Images) -> None:
    rl.save_defense(tmp_path / "d", rl.defend("jpeg", network, images, bank(), quality=np.int64(50)))
    assert rl.load_defense(tmp_path / "d", network).made == ("jpeg", {"quality": 50})
    small = build("vgg16", TASK, width=np.float64(0.07), stem=np.int32(1), hidden=None, batch_norm=True).eval()
    rl.save_network(tmp_path / "n", small)
    assert weights_hash(rl.load_network(tmp_path / "n")) == weights_hash(small)


@pytest.fixture
def files(tmp_path: Path, network: nn.Module) -> dict[str, Path]:
    """A sound file of units and one of a bank, both of ``network``."""
    rl.save_units(tmp_path / "units", defended(network), network=network, layers=["conv1_1"], ratio=0.5, width=1.0)
    rl.save_bank(tmp_path / "bank", bank(network_hash=weights_hash(network)))
    return {"units": tmp_path / "units", "bank": tmp_path / "bank"}


def refusal(call: Callable[..., object], *given: object, **others: object) -> str:
    with pytest.raises(rl.StudyError) as caught:
        call(*given, **others)
    return str(caught.value)


def test_a_sound_file_is_not_blamed_for_another_network(files: dict[str, Path], network: nn.Module) -> None:
    other = copy.deepcopy(network)
    other.fc8.bias.data += 1
    for load in (lambda given: rl.load_units(files["units"], given), lambda given: rl.load_bank(files["bank"], network=given)):
        said = refusal(load, other)
        assert f"give the network whose hash is {weights_hash(network)} (this one's is {weights_hash(other)})" in said
        assert ANEW not in said
        for wrong in ("network.pt", 3):
            said = refusal(load, wrong)
            assert type(wrong).__name__ in said or repr(wrong) in said
            assert "odule" in said
            assert ANEW not in said


def test_a_sound_file_is_not_blamed_for_a_wrapper(files: dict[str, Path], network: nn.Module) -> None:
    assert len(rl.load_bank(files["bank"], network=nn.DataParallel(network))) == 2
    said = refusal(rl.load_units, files["units"], nn.DataParallel(network))
    assert "units on conv1_1, which the DataParallel given has not, though its weights are the right ones: give the network in" in said
    assert ANEW not in said


def test_a_sound_file_is_not_blamed_for_another_shape(files: dict[str, Path]) -> None:
    said = refusal(rl.load_bank, files["bank"], shape=(3, 12, 12))
    assert "perturbations of (1, 12, 12), images of (3, 12, 12): give images of the shape" in said
    assert ANEW not in said
    for wrong in (5, "a", (1, 12)):
        said = refusal(rl.load_bank, files["bank"], shape=wrong)
        assert said == f"load_bank: shape is {wrong!r}: give a list of 3, each a whole number, or null"


def test_a_study_still_says_what_makes_a_bank_anew(files: dict[str, Path], network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regen_lib.core.origin.MAKERS", [lambda path: f"run {path.name} again"])
    network.fc8.bias.data += 1
    assert refusal(rl.load_bank, files["bank"], network=network).endswith("(it is made anew so: run bank again)")


PATHS: dict[str, Callable[[Any, nn.Module], object]] = {
    "load_bank": lambda path, _: rl.load_bank(path),
    "load_units": rl.load_units,
    "load_network": lambda path, _: rl.load_network(path),
    "save_bank": lambda path, _: rl.save_bank(path, bank()),
    "save_network": rl.save_network,
    "save_units": lambda path, n: rl.save_units(path, defended(n), network=n, layers=["conv1_1"], ratio=0.5, width=1.0),
}


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("path", [None, 3])
def test_a_path_is_a_path(name: str, path: Any, network: nn.Module) -> None:
    with pytest.raises(rl.StudyError, match=f"path is {path}: give a text or a pathlib.Path"):
        PATHS[name](path, network)


@pytest.mark.parametrize("given", [V, "bank", None])
def test_only_a_bank_is_written_as_one(tmp_path: Path, given: Tensor) -> None:
    with pytest.raises(rl.StudyError, match=r"^save_bank: bank is .*: give a Bank$"):
        rl.save_bank(tmp_path / "b", given)
    with pytest.raises(rl.StudyError, match=r"give a torch.nn.Module"):
        rl.save_network(tmp_path / "n", given)
    with pytest.raises(rl.StudyError, match=r"give a torch.nn.Module"):
        rl.save_units(tmp_path / "u", given, network=nn.Conv2d(1, 1, 1), layers=["0"], ratio=0.5, width=1.0)
    assert not list(tmp_path.iterdir())


def test_a_sound_defence_is_not_blamed_for_what_is_given_with_it(tmp_path: Path, network: nn.Module, images: rl.Images) -> None:
    path = tmp_path / "jpeg.safetensors"
    bank = rl.random_signs(network, images.pixels, rl.Threat(math.inf, 60.0, 1.0), seed=0, count=1)
    rl.save_defense(path, rl.defend("jpeg", network, images, bank))
    other = copy.deepcopy(network)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    for given, said in (((other,), "give the network whose hash is"), ((network, "prn"), "it holds jpeg, not prn")):
        with pytest.raises(rl.StudyError, match=said) as caught:
            rl.load_defense(path, *given)
        assert "delete" not in str(caught.value)
