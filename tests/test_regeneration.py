"""The unit against the authors' layers written out with permutations; frozen weights; masking; training."""

import copy
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from regen_lib.attacks.random_signs import random_signs
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images, as_input
from regen_lib.core.inference import predict
from regen_lib.core.perturbations import Threat
from regen_lib.core.storage import weights_hash
from regen_lib.core.surgery import find_conv
from regen_lib.networks.blocks import initialise
from regen_lib.networks.vgg16 import vgg16
from regen_lib.regeneration.calibration import calibrate
from regen_lib.regeneration.files import load_units, save_units
from regen_lib.regeneration.masking import ORDERS, masked_predictions, order_filters
from regen_lib.regeneration.ranking import rank
from regen_lib.regeneration.unit import Regenerated, Unit, first, gather_conv, regenerate, scatter_conv, units
from regen_lib.study.tables.masking import masking_table, restored
from regen_lib.training.loop import MiniBatches, fit, make_optimizer
from regen_lib.training.noise import Noise
from regen_lib.training.recipe import Recipe, rate_at
from tests.conftest import TASK, draw

LAYERS = ["conv1_1", "conv2_1", "conv3_2"]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def literal_unit(unit: Unit) -> nn.Sequential:
    """The authors' unit on the N selected channels, from plain modules."""
    names = ("conv1", "bn1", "relu1", "conv2", "bn2", "relu2", "conv3", "bn3", "relu3", "conv4")
    return nn.Sequential(OrderedDict((name, nn.ReLU() if name.startswith("relu") else unit.get_submodule(name)) for name in names))


@pytest.mark.parametrize("training", [True, False])
def test_unit_equals_permute_split_concatenate_permute_back(training: bool) -> None:
    conv = nn.Conv2d(3, 10, 3, padding=1, bias=False)
    channels = rank(conv)[:4]
    unit = initialise(Unit(channels, 5), rng()).train(training)
    layer, x = Regenerated(conv, unit), draw(6, 3, 7, 7) * 10
    order = torch.cat([channels, torch.tensor([c for c in range(10) if c not in channels.tolist()])])
    sorted_features = conv(x)[:, order]  # "imap": the most vulnerable first
    chosen, rest = sorted_features[:, :4], sorted_features[:, 4:]
    regenerated = chosen + literal_unit(unit)(chosen)
    expected = torch.cat([regenerated, rest], dim=1)[:, order.argsort()]  # "remap"
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(layer(x)[:, order[4:]], conv(x)[:, order[4:]])


@pytest.mark.parametrize(("channels", "width"), [(12, 12), (48, 36)])
def test_unit_size_is_the_authors_count(channels: int, width: int) -> None:
    unit = Unit(torch.arange(channels), width)
    assert sum(p.numel() for p in unit.parameters() if p.ndim == 4) == 18 * width**2 + 2 * channels * width


def test_layers_with_widths_of_their_own(network: nn.Module, images: Images, tmp_path: Path) -> None:
    """A mapping gives each unit's width, and units are read back as they were written."""
    places = {"conv2_1": 5, "conv1_1": 3}
    defended = regenerate(network, first(places, 9), ratio=0.5, width=7.0, generator=rng())
    assert {layer: unit.conv1.out_channels for layer, unit in units(defended).items()} == {"conv1_1": 3, "conv2_1": 5}
    path = tmp_path / "units.safetensors"
    save_units(path, defended, network=network, layers=places, ratio=0.5, width=7.0)
    assert torch.equal(load_units(path, network)(as_input(images.pixels)), defended(as_input(images.pixels)))
    assert list(first(places, 1)) == ["conv2_1"]
    assert first(["a", "b", "c"], 2) == ["a", "b"]


def test_the_prefix_before_the_first_unit_runs_without_autograd(network: nn.Module, images: Images) -> None:
    defended = regenerate(network, ["conv2_1"], ratio=0.5, generator=rng())
    units(defended)["conv2_1"].train().requires_grad_(True)
    tracked: dict[str, bool] = {}
    for name, part in defended.named_children():
        part.register_forward_hook(lambda _m, _i, output, name=name: tracked.__setitem__(name, output.requires_grad))
    defended(as_input(images.pixels))
    names = list(tracked)
    assert [tracked[name] for name in names] == [index >= names.index("conv2_1") for index in range(len(names))]


def test_zero_residual_starts_as_the_network(network: nn.Module, images: Images) -> None:
    x = images.pixels.float()
    assert torch.equal(regenerate(network, LAYERS, residual=0.0, generator=rng())(x), network(x))
    he, half = (units(regenerate(network, LAYERS, residual=r, generator=rng())) for r in (1.0, 0.5))
    for layer, unit in he.items():
        torch.testing.assert_close(half[layer].conv4.weight, unit.conv4.weight / 2)
        assert torch.equal(half[layer].conv3.weight, unit.conv3.weight)


def test_zero_last_convolution_leaves_the_network_as_it_was(network: nn.Module, images: Images) -> None:
    defended = regenerate(network, LAYERS, generator=rng())
    x = as_input(images.pixels)
    assert not torch.allclose(defended(x), network(x), atol=1e-2)
    for unit in units(defended).values():
        unit.conv4.weight.data.zero_()
    torch.testing.assert_close(defended(x), network(x))


def test_training_changes_units_alone(network: nn.Module, images: Images) -> None:
    before, defended = weights_hash(network), regenerate(network, LAYERS, generator=rng())
    start = {layer: weights_hash(unit) for layer, unit in units(defended).items()}
    noise = Noise(draw(3, 1, 12, 12) * 20)
    losses = fit(defended, units(defended).values(), images, Recipe(6, 0.05, batch=16), seed=0, name="t", noise=noise)
    assert losses[-1] < losses[0]
    assert weights_hash(network) == before
    for layer, unit in units(defended).items():
        assert weights_hash(unit) != start[layer]
        assert int(unit.bn1.num_batches_tracked) == 18
    conv = defended.get_submodule("conv1_1").conv
    assert conv.weight.data_ptr() == find_conv(network, "conv1_1").weight.data_ptr()


def test_training_twice_gives_the_same_bytes(network: nn.Module, images: Images) -> None:
    hashes = set()
    for _ in range(2):
        torch.rand(7)  # nobody reads the global generator
        defended = regenerate(network, LAYERS[:2], generator=rng())
        fit(defended, units(defended).values(), images, Recipe(1, 0.1, batch=16), seed=0, name="t", noise=Noise(draw(3, 1, 12, 12)))
        hashes.add(weights_hash(defended))
    assert len(hashes) == 1


def test_compiled_training_is_the_same_training(network: nn.Module, images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler's front end and autograd, without its code generator, which wants a C++ compiler: one graph, the same losses."""
    torch._dynamo.reset()  # it compiles Sequential's forward a few times in a process, and other tests have done so
    compiler, modes = torch.compile, []

    def compile_without_code(model: nn.Module, *, mode: str) -> Callable[[Tensor], Tensor]:
        modes.append(mode)
        return compiler(model, backend="aot_eager", fullgraph=True)

    monkeypatch.setattr(torch, "compile", compile_without_code)
    graphs = torch._dynamo.utils.counters["stats"]
    losses = []
    for mode in (None, "reduce-overhead"):
        before = graphs["unique_graphs"]
        defended, recipe = regenerate(network, LAYERS[:2], generator=rng()), Recipe(2, 0.05, batch=16, compile=mode)
        losses.append(fit(defended, units(defended).values(), images, recipe, seed=0, name="t", noise=Noise(draw(3, 1, 12, 12))))
        assert (graphs["unique_graphs"] > before) == (mode is not None)
    assert modes == ["reduce-overhead"]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_dropout_draws_from_the_seed_alone(images: Images) -> None:
    """torch seeds its global generator anew in every process, and dropout reads it."""
    hashes = set()
    for state in (1, 2):
        model = initialise(vgg16(TASK, width=0.07, hidden=8), rng())
        torch.manual_seed(state)
        fit(model, [model], images, Recipe(1, 0.01, batch=16), seed=0, name="t")
        hashes.add(weights_hash(model))
        after = torch.rand(1)
        torch.manual_seed(state)
        assert torch.equal(after, torch.rand(1))  # training leaves the global generator as it found it
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("layers", "ratio", "said"),
    [
        (["relu_conv1_1"], 0.5, "not a convolution"),
        (["conv1_9"], 0.5, "not in the network"),
        (["conv1_1"], 0.0, "ratio"),
        (["conv1_1"], 1.5, "ratio"),
        (["conv1_1", "conv1_1"], 0.5, "name each once"),
    ],
)
def test_units_that_cannot_be_placed(network: nn.Module, layers: list[str], ratio: float, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        regenerate(network, layers, ratio=ratio, generator=rng())


@pytest.mark.parametrize(("done", "factor"), [(0.0, 1.0), (0.24, 1.0), (0.25, 0.1), (0.5, 0.01), (0.75, 0.001), (0.999, 0.001)])
def test_drops_are_the_papers(done: float, factor: float) -> None:
    assert rate_at(Recipe(4, 0.1), done) == pytest.approx(0.1 * factor)


def test_cycle_warms_up_and_anneals() -> None:
    rates = [rate_at(Recipe(4, 0.1, schedule="cycle"), step / 100) for step in range(100)]
    assert max(rates) == pytest.approx(0.1)
    assert rates[0] < 0.01
    assert rates[-1] < 0.001
    assert rates.index(max(rates)) == 25


def test_optimizer_step_by_hand() -> None:
    layer = nn.Linear(2, 1)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    optimizer = make_optimizer([layer], Recipe(1, 0.1))
    layer(torch.tensor([[2.0, 3.0]])).sum().backward()
    optimizer.step()
    torch.testing.assert_close(layer.weight.data, weight - 0.1 * (torch.tensor([[2.0, 3.0]]) + 5e-4 * weight))
    torch.testing.assert_close(layer.bias.data, bias - 0.1)


def test_half_the_images_of_a_batch_are_perturbed() -> None:
    noise = Noise(torch.stack([torch.full((1, 2, 2), 1.0), torch.full((1, 2, 2), 2.0)]))
    found = noise(torch.zeros(4000, 1, 2, 2), rng())[:, 0, 0, 0]
    shares = [float((found == value).float().mean()) for value in (0, 1, 2)]
    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=0.03)
    clipped = Noise(torch.full((1, 1, 2, 2), 300.0), probability=1.0, clip=True)
    assert float(clipped(torch.zeros(3, 1, 2, 2), rng()).max()) == 255


def test_an_epoch_sees_every_image_once(images: Images) -> None:
    labels = torch.cat([y for _, y in MiniBatches(images, len(images), 12, rng())])
    assert sorted(labels.tolist()) == sorted(images.labels.tolist())
    assert len(MiniBatches(images, 30, 12, rng())) == 2


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"optimizer": "lion"}, "sgd or adamw"),
        ({"schedule": "step"}, "drops or cycle"),
        ({"compile": "fast"}, "null, default or reduce-overhead"),
        ({"epochs": 0}, "positive"),
        ({"batch": 64}, "fewer than one batch"),
        ({"rate": 1e30, "batch": 16}, "lower the rate"),
        ({"images": 49, "batch": 16}, "49 images asked for"),
        ({"images": 15, "batch": 16}, "an epoch at least one batch"),
    ],
)
def test_recipes_that_cannot_work(network: nn.Module, images: Images, recipe: dict[str, object], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        fit(network, [network], images, Recipe(**{"epochs": 2, "rate": 0.1, **recipe}), seed=0, name="t")


def perturbed_predictions(network: nn.Module, images: Images, v: Tensor, choice: Tensor) -> Tensor:
    return network(images.pixels.float() + v[choice]).argmax(1)


def test_masking_nothing_and_everything(network: nn.Module, images: Images) -> None:
    v, choice = draw(2, 1, 12, 12) * 40, torch.arange(48) % 2
    nothing = masked_predictions(network, "conv1_1", torch.tensor([], dtype=torch.long), images.pixels, v, choice)
    assert torch.equal(nothing, perturbed_predictions(network, images, v, choice))
    everything = masked_predictions(network, "conv1_1", torch.arange(4), images.pixels, v, choice)
    assert torch.equal(everything, predict(network, images.pixels))
    assert not torch.equal(nothing, everything)


def test_masking_some_against_brute_force(network: nn.Sequential, images: Images) -> None:
    v, channels = draw(1, 1, 12, 12) * 40, torch.tensor([2, 0])
    names = list(dict(network.named_children()))
    cut = names.index("conv2_1") + 1
    x = images.pixels.float()
    mixed = network[:cut](x + v)
    mixed[:, channels] = network[:cut](x)[:, channels]
    found = masked_predictions(network, "conv2_1", channels, images.pixels, v, torch.zeros(48, dtype=torch.long))
    assert torch.equal(found, network[cut:](mixed).argmax(1))


def test_orders_of_filters(network: nn.Module) -> None:
    conv = find_conv(network, "conv3_1")
    orders = {order: order_filters(conv, order, rng()) for order in ORDERS}
    assert torch.equal(orders["ranked"], orders["reversed"].flip(0))
    assert sorted(orders["random"].tolist()) == list(range(conv.out_channels))
    with pytest.raises(StudyError, match="choose one of ranked"):
        order_filters(conv, "sorted", rng())


def test_masking_table_and_what_it_restores(network: nn.Module, images: Images) -> None:
    bank = random_signs(network, images.pixels, Threat(float("inf"), 60.0), seed=0, count=2)
    table = masking_table("net", network, ["conv1_1", "conv2_1"], [0.0, 0.5, 1.0], images, bank, seed=0)
    assert len(table) == 2 * 3 * 3
    full = table[table.fraction == 1.0]
    assert (full.accuracy == full.clean).all()
    by_hand = table[(table.depth == 1) & (table.order == "random")].set_index("fraction").accuracy
    share = (by_hand[0.5] - by_hand[0.0]) / (by_hand[1.0] - by_hand[0.0])
    assert restored(table, 0.5).set_index("order").restored["random"] == pytest.approx(share)


def test_calibration_divides_by_the_deviation(network: nn.Module, images: Images) -> None:
    """The unit sees channels of unit deviation and gives back the network's own; without images nothing changes."""
    defended = regenerate(network, ["conv1_2"], ratio=0.5, generator=torch.Generator().manual_seed(0))
    unit = units(defended)["conv1_2"]
    x = as_input(images.pixels)
    plain = defended(x)
    calibrate(defended, images.pixels[:0])
    assert torch.equal(defended(x), plain)
    seen: list[Tensor] = []
    handle = defended.get_submodule("conv1_2.conv").register_forward_hook(lambda _m, _i, output: seen.append(output))
    calibrate(defended, images.pixels)
    handle.remove()
    features = seen[0]
    chosen = features[:, unit.channels]
    torch.testing.assert_close(unit.scale, chosen.double().std((0, 2, 3), correction=0).float())
    inner = copy.deepcopy(unit)
    inner.scale.fill_(1.0)
    scaled = features.clone()
    scaled[:, unit.channels] = chosen / unit.scale.view(1, -1, 1, 1)
    expected = inner(scaled)
    expected[:, unit.channels] *= unit.scale.view(1, -1, 1, 1)
    torch.testing.assert_close(unit(features), expected, rtol=1e-4, atol=1e-3)


ENDS = [(1, 4, 3, 2, 3), (2, 13, 6, 7, 5), (3, 70, 40, 33, 9)]  # images, channels, ranked ones, width, side


def ends(case: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Features, ranked channels, hidden features, and the weights of both ends of a unit."""
    count, total, ranked, width, side = case
    channels = torch.randperm(total, generator=rng())[:ranked]
    return draw(count, total, side, side), channels, draw(count, width, side, side, seed=1), draw(width, ranked), draw(ranked, width)


@pytest.mark.parametrize("case", ENDS)
def test_the_ends_of_a_unit_position_by_position(case: tuple[int, ...]) -> None:
    features, channels, hidden, inwards, outwards = ends(case)
    ranked, expected = channels.tolist(), features.double().numpy().copy()
    gathered = np.einsum("nchw,dc->ndhw", expected[:, ranked], inwards.double().numpy())
    np.testing.assert_allclose(gather_conv(features, channels, inwards).numpy(), gathered, atol=1e-4)
    added = np.einsum("ndhw,cd->nchw", hidden.double().numpy(), outwards.double().numpy())
    for k, channel in enumerate(ranked):
        expected[:, channel] += added[:, k]
    np.testing.assert_allclose(scatter_conv(hidden, channels, outwards, features).numpy(), expected, atol=1e-4)


def test_the_ends_of_a_unit_have_the_right_gradients() -> None:
    features, channels, hidden, inwards, outwards = (t.double() if t.is_floating_point() else t for t in ends(ENDS[0]))
    given = features.requires_grad_(), inwards.requires_grad_()
    assert torch.autograd.gradcheck(lambda f, w: gather_conv(f, channels, w), given)
    given = hidden.requires_grad_(), outwards.requires_grad_(), features
    assert torch.autograd.gradcheck(lambda h, w, f: scatter_conv(h, channels, w, f), given)
