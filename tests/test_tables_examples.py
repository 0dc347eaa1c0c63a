"""Fig. 1 and 5: the image that is shown, what is added to it, and what defences and filters make of it."""

import pytest
import torch

from regen_lib.core.errors import StudyError
from regen_lib.core.surgery import find_conv
from regen_lib.study.tables.examples import cases, feature_maps, most_fooled, showcase
from tests.suite import LAYERS, NAMES, Known, said

ATTACKS = ["uap", "nag", "fff"]


@pytest.mark.parametrize("name", NAMES)
def test_the_image_shown_is_the_first_that_most_attacks_fool(known: Known, name: str) -> None:
    network, pixels = known.networks[name], known.images.pixels
    right = known.hits(network)
    fooled = [said(network, pixels, known.banks[name, attack].perturbations) != said(network, pixels) for attack in ATTACKS]
    counts = [sum(bool(f[i]) for f in fooled) if right[i] else 0 for i in range(len(pixels))]
    assert most_fooled(known.suite, name, ATTACKS) == counts.index(max(counts))
    assert max(counts) > min(count for count, known_one in zip(counts, right, strict=True) if known_one)


def test_cases_are_the_clean_image_and_the_first_member_of_each_bank(known: Known) -> None:
    x, added = cases(known.suite, "two", ["nag", "uap"], 5)
    assert list(added) == ["clean", "nag", "uap"]
    torch.testing.assert_close(x, known.images.pixels[5:6].float())
    assert not added["clean"].any()
    for attack in ("nag", "uap"):
        assert torch.equal(added[attack], known.banks["two", attack].perturbations[:1])


def test_fig_1_shows_what_each_defence_predicts_and_how_surely(known: Known) -> None:
    shown = showcase(known.suite, "one", ["uap"], image=9)
    assert [case.case for case in shown] == ["clean", "uap"]
    x, v = known.images.pixels[9].float(), known.banks["one", "uap"].perturbations[0]
    torch.testing.assert_close(shown[1].image, x + v)
    assert torch.equal(shown[1].perturbation, v)
    for case, seen in zip(shown, (x, x + v), strict=True):
        assert list(case.predictions) == ["undefended", "ours", "jpeg"]
        for defense, (label, confidence) in case.predictions.items():
            scores = known.suite.defended["one"][defense](seen[None])[0].exp()
            assert label == int(scores.argmax())
            assert confidence == pytest.approx(float(scores.max() / scores.sum()), rel=1e-4)


@pytest.mark.parametrize("layer", LAYERS)
def test_fig_5_shows_the_filter_of_the_largest_norm(known: Known, layer: str) -> None:
    maps = feature_maps(known.suite, "two", layer, ["uap"], image=4)
    network, defended = known.networks["two"], known.suite.defended["two"]["ours"]
    conv = find_conv(network, layer)
    norms = [float(conv.weight[k].abs().sum()) for k in range(conv.out_channels)]
    channel, parts = norms.index(max(norms)), list(dict(network.named_children()))
    before = network[: parts.index(layer)]
    for case, v in (("clean", 0), ("uap", known.banks["two", "uap"].perturbations[:1])):
        inputs = before(known.images.pixels[4:5].float() + v)
        torch.testing.assert_close(maps[case][0], conv(inputs)[0, channel])
        torch.testing.assert_close(maps[case][1], defended.get_submodule(layer)(inputs)[0, channel])
    assert not torch.equal(*maps["uap"])


@pytest.mark.parametrize("layer", ["conv3_1", "relu_conv1_1", "conv9"])
def test_fig_5_needs_a_layer_with_a_unit(known: Known, layer: str) -> None:
    with pytest.raises(StudyError, match=rf"layer '{layer}' of two has no unit: choose from conv1_1, conv2_1"):
        feature_maps(known.suite, "two", layer, ["uap"], image=4)
