"""The explorer: what a choice shows against sums by hand, what it says of choices that cannot be, and its widgets without a browser."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images, save_images
from regen_lib.study.explore.panel import Panel
from regen_lib.study.explore.scene import Choice, Explorer
from tests.suite import Known, build_study

CHOICE = Choice("one", "uap", 90.0, 5, "conv1_1", 0, 0.5, "regenerated", "jpeg")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Known]:
    """The folder of a small study, and what went into it."""
    folder = tmp_path_factory.mktemp("explored")
    known = build_study(folder / "data")
    save_images(folder / "data/images.safetensors", {"test": known.images})
    return folder, known


@pytest.fixture(scope="module")
def explorer(study: tuple[Path, Known]) -> Explorer:
    return Explorer(study[0])


def inputs(known: Known, choice: Choice) -> Tensor:
    """The image and the image with its perturbation: ``[2, C, H, W]``."""
    x, v = known.images.pixels[choice.image].float(), known.banks[choice.network, choice.attack]
    return torch.stack([x, x + v.perturbations[0] * choice.xi / v.threat.xi])


def heard(network: nn.Module, layer: str, x: Tensor) -> Tensor:
    """What a convolution puts out while ``network`` sees ``x``."""
    kept: list[Tensor] = []
    hook = network.get_submodule(layer).register_forward_hook(lambda _module, _inputs, output: kept.append(output.clone()))
    with torch.no_grad():
        network(x)
    hook.remove()
    return kept[0]


def probabilities(network: nn.Module, x: Tensor) -> list[float]:
    """The largest first."""
    with torch.no_grad():
        return sorted(network(x[None]).softmax(1)[0].tolist(), reverse=True)


def shown(explorer: Explorer, choice: Choice, who: str) -> list[float]:
    """The probabilities that a scene shows."""
    return [p for _, p in explorer.look(choice).predictions[who]]


def test_a_scene_shows_image_perturbation_and_what_networks_say(explorer: Explorer, study: tuple[Path, Known]) -> None:
    known, scene = study[1], explorer.look(CHOICE)
    x, perturbed = inputs(known, CHOICE)
    assert torch.equal(scene.image, x)
    assert torch.allclose(scene.image + scene.perturbation, perturbed)
    assert float(scene.perturbation.abs().max()) == pytest.approx(90)
    assert scene.truth == str(int(known.images.labels[5]))
    defended = known.suite.defended["one"]
    expected = {"undefended, no perturbation": (known.networks["one"], x), "undefended": (known.networks["one"], perturbed)}
    expected |= {"ours, all units": (defended["ours"], perturbed), "jpeg": (defended["jpeg"], perturbed)}
    for who, (network, seen) in expected.items():
        assert [p for _, p in scene.predictions[who]] == pytest.approx(probabilities(network, seen), abs=1e-5)
        with torch.no_grad():
            assert scene.predictions[who][0][0] == str(int(network(seen[None]).argmax()))
    assert scene.notes == []


@pytest.mark.parametrize("place", [0, 3])
def test_maps_are_the_outputs_of_the_filter_in_the_order_of_norms(explorer: Explorer, study: tuple[Path, Known], place: int) -> None:
    network, choice = study[1].networks["one"], replace(CHOICE, filter=place)
    norms = network.get_submodule("conv1_1").weight.abs().sum((1, 2, 3)).tolist()
    channel = sorted(range(len(norms)), key=lambda index: -norms[index])[place]
    maps, both = explorer.look(choice).maps, inputs(study[1], choice)
    plain = heard(network, "conv1_1", both)[:, channel]
    assert torch.allclose(maps["clean"], plain[0])
    assert torch.allclose(maps["perturbed"], plain[1])
    ours = heard(study[1].suite.defended["one"]["ours"], "conv1_1", both)[1, channel]
    assert torch.allclose(maps["regenerated"], ours if place < 2 else plain[1], atol=1e-4)
    masked = explorer.look(replace(choice, how="masked")).maps["masked"]
    assert torch.allclose(masked, plain[0] if place < 2 else plain[1], atol=1e-4)


def test_a_share_of_nothing_changes_nothing(explorer: Explorer) -> None:
    for how in ("masked", "regenerated"):
        choice = replace(CHOICE, share=0.0, how=how)
        assert shown(explorer, choice, f"conv1_1, 0% {how}") == pytest.approx(shown(explorer, choice, "undefended"), abs=1e-5)


def test_a_masked_first_layer_sees_no_perturbation(explorer: Explorer) -> None:
    choice = replace(CHOICE, share=1.0, how="masked")
    clean = shown(explorer, choice, "undefended, no perturbation")
    assert shown(explorer, choice, "conv1_1, 100% masked") == pytest.approx(clean, abs=1e-5)
    assert shown(explorer, choice, "undefended") != pytest.approx(clean, abs=1e-3)


def test_what_a_unit_cannot_is_noted(explorer: Explorer) -> None:
    more = explorer.look(replace(CHOICE, share=1.0))
    assert more.notes == ["the unit of conv1_1 regenerates 2 of its 4 filters, no more"]
    assert more.predictions["conv1_1, 100% regenerated"] == explorer.look(CHOICE).predictions["conv1_1, 50% regenerated"]


def test_without_perturbation_there_is_none(explorer: Explorer) -> None:
    scene = explorer.look(replace(CHOICE, xi=0.0))
    assert not scene.perturbation.any()
    assert torch.equal(scene.maps["clean"], scene.maps["perturbed"])


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "network": ({"network": "three"}, "network 'three' is not there: choose from one, two"),
    "attack": ({"attack": "gap"}, "attack 'gap' is not there: choose from fff, nag"),
    "image": ({"image": 120}, "image 120 is none of the 120 test images: choose 0 to 119"),
    "negative": ({"image": -1}, "image -1 is none"),
    "layer": ({"layer": "conv9"}, "layer 'conv9' is not in the network: choose from"),
    "no convolution": ({"layer": "fc8"}, "layer 'fc8' is a Linear, not a convolution"),
    "no unit": ({"layer": "conv1_2"}, "conv1_2 has no unit: choose masked, or one of conv1_1, conv2_1"),
    "filter": ({"filter": 4}, "filter 4: conv1_1 has 4, choose 0 to 3"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_said_in_a_line(explorer: Explorer, case: str) -> None:
    change, said = WRONG[case]
    with pytest.raises(StudyError, match=said) as raised:
        explorer.look(replace(CHOICE, **change))
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(("given", "known"), [(("Bag", "Coat", "Boot"), ("Bag", "Coat", "Boot")), ((), ("0", "1", "2"))])
def test_classes_are_called_as_the_images_say(tmp_path: Path, given: tuple[str, ...], known: tuple[str, ...]) -> None:
    """By their numbers, where the images do not."""
    images = Images(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.tensor([2, 0, 1]))
    save_images(tmp_path / "data/images.safetensors", {"test": images, "train": images.first(2)}, given)
    assert Explorer(tmp_path).classes == known


def test_a_defence_that_is_not_there_leaves_the_others(study: tuple[Path, Known]) -> None:
    scene = Explorer(study[0]).look(replace(CHOICE, rival="prn"))
    assert set(scene.predictions) == {"undefended, no perturbation", "undefended", "conv1_1, 50% regenerated", "ours, all units"}
    assert len(scene.notes) == 1
    assert "data/defenses/prn/one.safetensors is missing" in scene.notes[0]


@pytest.fixture
def panel(study: tuple[Path, Known]) -> Panel:
    return Panel(study[0])


def test_the_panel_offers_what_the_study_has(panel: Panel, study: tuple[Path, Known]) -> None:
    assert panel.study.value == str(study[0])
    assert panel.network.options == ("one", "two")
    assert set(panel.attack.options) == {bank for _, bank in study[1].banks}
    assert panel.layer.value == "conv1_1"
    assert panel.rival.options == ("none", "jpeg")
    assert (panel.image.max, panel.filter.max) == (119, 3)
    assert panel.xi.value == pytest.approx(study[1].banks["one", panel.attack.value].threat.xi)


MOVES: list[Callable[[Panel], object]] = [
    lambda panel: setattr(panel.image, "value", 7),
    lambda panel: setattr(panel.xi, "value", 12.0),
    lambda panel: setattr(panel.share, "value", 0.25),
    lambda panel: setattr(panel.how, "value", "masked"),
    lambda panel: setattr(panel.filter, "value", 2),
    lambda panel: setattr(panel.layer, "value", "conv2_1"),
    lambda panel: setattr(panel.attack, "value", "uap_l2"),
    lambda panel: setattr(panel.rival, "value", "jpeg"),
    lambda panel: setattr(panel.network, "value", "two"),
]


def test_every_knob_draws_another_picture_in_less_than_a_second(panel: Panel) -> None:
    seen, took = {bytes(panel.picture.value)}, []
    for move in MOVES:
        begun = time.process_time()
        move(panel)
        took.append(time.process_time() - begun)
        seen.add(bytes(panel.picture.value))
    assert len(seen) == len(MOVES) + 1
    assert sorted(took)[len(took) // 2] < 1


def test_the_panel_says_what_is_wrong_and_goes_on(panel: Panel, study: tuple[Path, Known], tmp_path: Path) -> None:
    panel.layer.value = "conv1_2"
    assert panel.said.value.startswith("conv1_2 has no unit")
    assert panel.picture.layout.display == "none"
    panel.how.value = "masked"
    assert panel.picture.layout.display is None
    for folder in (tmp_path, tmp_path / "<nothing>"):
        panel.study.value = str(folder)
        assert "images.safetensors is missing" in panel.said.value
        assert "<nothing>" not in panel.said.value
    panel.study.value = str(study[0])
    assert "<br>" not in panel.said.value
    assert panel.picture.layout.display is None


def test_what_could_not_be_kept_is_said(panel: Panel) -> None:
    panel.explorer.layers = lambda network: ["conv2_1"] if network == "two" else ["conv1_1"]
    panel.network.value = "two"
    assert panel.said.value == "layer conv1_1 is not there: conv2_1 is shown"
