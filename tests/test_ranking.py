"""Eq. 2 and the rank."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.perturbations import Threat
from regen_lib.regeneration.ranking import filter_norms, noise_bound, observed_noise, rank, top
from regen_lib.study.tables.filters import filter_table
from tests.conftest import draw


def conv_of(seed: int, groups: int, kernel: int, stride: int) -> nn.Conv2d:
    conv = nn.Conv2d(4, 6, kernel, stride, kernel // 2, groups=groups)
    nn.init.normal_(conv.weight, generator=torch.Generator().manual_seed(seed))
    return conv.requires_grad_(False)


@given(seed=st.integers(0, 10_000), groups=st.sampled_from([1, 2]), kernel=st.sampled_from([1, 3, 5]), stride=st.sampled_from([1, 2]))
@settings(max_examples=40, deadline=None)
def test_noise_never_exceeds_the_bound(seed: int, groups: int, kernel: int, stride: int) -> None:
    conv, u, r = conv_of(seed, groups, kernel, stride), draw(3, 4, 9, 9, seed=seed) * 50, draw(3, 4, 9, 9, seed=seed + 1) * 10
    noise = (conv(u + r) - conv(u)).abs().flatten(2).amax(2)
    assert (noise <= noise_bound(conv, r) * (1 + 1e-4)).all()


@pytest.mark.parametrize("norm", [1, 2, 3.5])
def test_bound_is_the_tightest_of_the_papers(norm: float) -> None:
    conv, r = conv_of(1, 1, 3, 1), draw(2, 4, 9, 9)
    papers = torch.linalg.vector_norm(r.flatten(1), norm, dim=1)[:, None] * filter_norms(conv)
    assert (noise_bound(conv, r) <= papers).all()


def test_bound_is_attained_by_the_worst_perturbation() -> None:
    conv = conv_of(2, 1, 3, 1)
    r = torch.zeros(1, 4, 9, 9)
    r[0, :, 3:6, 3:6] = 7 * conv.weight[0].sign()
    noise = (conv(r) - conv(torch.zeros_like(r)))[0, 0, 4, 4]
    assert torch.isclose(noise, noise_bound(conv, r)[0, 0])


def test_norms_and_rank_by_hand() -> None:
    conv = nn.Conv2d(1, 3, 2, bias=False)
    conv.weight.data = torch.tensor([[1.0, -1, 0, 0], [2.0, 2, -2, -2], [0.5, 0, 0, -2]]).view(3, 1, 2, 2)
    assert filter_norms(conv).tolist() == [2.0, 8.0, 2.5]
    assert rank(conv).tolist() == [1, 2, 0]
    assert top(conv, 0.5).tolist() == [1, 2]
    assert top(conv, 0.01).tolist() == [1]


@pytest.mark.parametrize("ratio", [0.0, -0.5, 1.01, float("nan")])
def test_ratio_outside_its_range(ratio: float) -> None:
    with pytest.raises(StudyError, match="ratio"):
        top(nn.Conv2d(1, 4, 3), ratio)


def test_only_convolutions_have_filters_to_rank() -> None:
    for module in (nn.Linear(4, 4), nn.Conv1d(4, 4, 3)):
        with pytest.raises(StudyError, match=f"a {type(module).__name__} has no filters to rank: give an nn.Conv2d"):
            rank(module)


def test_observed_noise_is_what_activations_show(network: nn.Sequential, images: Images) -> None:
    v = draw(1, 1, 12, 12) * 20
    noise, bound = observed_noise(network, ["conv2_1"], images.pixels, v)["conv2_1"]
    upto = network[: list(dict(network.named_children())).index("conv2_1") + 1]
    x = images.pixels.float()
    expected = (upto(x + v) - upto(x)).abs().flatten(2).amax(2)
    torch.testing.assert_close(noise, expected, rtol=1e-3, atol=1e-3)
    assert (noise <= bound * (1 + 1e-4)).all()
    drawn = copy.deepcopy(network)
    drawn.conv2_1.weight.data *= torch.arange(1.0, 1 + noise.shape[1]).view(-1, 1, 1, 1)  # filter m's norm is m + 1 times as large
    table = filter_table("net", network, ["conv2_1"], images.pixels, v, drawn)
    assert table.norm.is_monotonic_decreasing
    assert list(table.drawn) == pytest.approx(list(table.norm * (1 + table["filter"])), rel=1e-5)
    assert len(table) == noise.shape[1]


@pytest.mark.parametrize(("layer", "said"), [("relu_conv1_1", "not a convolution"), ("conv9", "not in the network")])
def test_layer_that_is_no_convolution(network: nn.Module, images: Images, layer: str, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        observed_noise(network, [layer], images.pixels, torch.zeros(1, 1, 12, 12))


@pytest.mark.parametrize(("norm", "inside"), [(float("inf"), [[3.0, -4.0]]), (2, [[3.0, -4.0]])])
def test_projection(norm: float, inside: list[list[float]]) -> None:
    threat = Threat(norm, 5.0)
    small = torch.tensor(inside).view(1, 1, 1, 2)
    assert torch.equal(threat.project(small), small)
    assert torch.equal(threat.project(small / 2), small / 2)
    big = small * 4
    expected = torch.tensor([[5.0, -5.0]]) if norm == float("inf") else torch.tensor([[3.0, -4.0]])
    torch.testing.assert_close(threat.project(big).flatten(1), expected)
    random = draw(7, 2, 3, 3) * 9
    torch.testing.assert_close(threat.project(threat.project(random)), threat.project(random))
    assert (threat.size(threat.project(random)) <= 5 * (1 + 1e-6)).all()
