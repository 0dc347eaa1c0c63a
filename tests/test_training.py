"""The training loop of Eq. 7: what it changes, what it draws, its rates and its mini-batches."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.storage import weights_hash
from regen_lib.core.surgery import find_conv
from regen_lib.networks.blocks import initialise
from regen_lib.networks.vgg16 import vgg16
from regen_lib.regeneration.unit import regenerate, units
from regen_lib.training.loop import MiniBatches, fit, make_optimizer
from regen_lib.training.noise import Noise
from regen_lib.training.recipe import Recipe, rate_at
from tests.conftest import TASK, draw, rng

LAYERS = ["conv1_1", "conv2_1", "conv3_2"]


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


@pytest.mark.parametrize(("shape", "said"), [((3, 3, 12, 12), "perturbations of shape"), ((3, 1, 1, 1), "perturbations of shape")])
def test_noise_of_another_shape_is_refused(network: nn.Module, images: Images, shape: tuple[int, ...], said: str) -> None:
    """Some would be spread over the images without a word."""
    with pytest.raises(StudyError, match=said):
        fit(network, [network], images, Recipe(1, 0.1, batch=16), seed=0, name="t", noise=Noise(draw(*shape)))
    with pytest.raises(StudyError, match=r"float64, or with NaN"):
        fit(network, [network], images, Recipe(1, 0.1, batch=16), seed=0, name="t", noise=Noise(draw(3, 1, 12, 12).double()))
    with pytest.raises(StudyError, match=r"probability 1.5 lies outside \[0, 1\]"):
        Noise(draw(3, 1, 12, 12), 1.5)


def test_half_the_images_of_a_batch_are_perturbed() -> None:
    noise = Noise(torch.stack([torch.full((1, 2, 2), 1.0), torch.full((1, 2, 2), 2.0)]))
    found = noise(torch.zeros(4000, 1, 2, 2), rng())[:, 0, 0, 0]
    shares = [float((found == value).float().mean()) for value in (0, 1, 2)]
    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=0.03)
    clipped = Noise(torch.full((1, 1, 2, 2), 300.0), probability=1.0, clip=True)
    assert float(clipped(torch.zeros(3, 1, 2, 2), rng()).max()) == 255


def test_an_epoch_sees_every_image_once(images: Images) -> None:
    labels = torch.cat([y for _, y in MiniBatches(images, len(images), Recipe(1, 0.1, batch=12), rng())])
    assert sorted(labels.tolist()) == sorted(images.labels.tolist())
    assert len(MiniBatches(images, 30, Recipe(1, 0.1, batch=12), rng())) == 2


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"optimizer": "lion"}, "give one of sgd, adamw"),
        ({"schedule": "step"}, "give one of drops, cycle"),
        ({"compile": "fast"}, "give one of default, reduce-overhead, or null"),
        ({"epochs": 0}, "epochs is 0: give a whole number, 1 or more"),
        ({"batch": 64}, "fewer than one batch"),
        ({"rate": 1e30, "batch": 16}, "lower the rate"),
        ({"images": 49, "batch": 16}, "49 images asked for"),
        ({"images": 15, "batch": 16}, "an epoch takes at least one batch"),
        ({"crop": -1}, "crop is -1: give a whole number, 1 or more, or null"),
        ({"crop": 0}, "crop is 0: give a whole number, 1 or more, or null"),
    ],
)
def test_recipes_that_cannot_work(network: nn.Module, images: Images, recipe: dict[str, object], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        fit(network, [network], images, Recipe(**{"epochs": 2, "rate": 0.1, **recipe}), seed=0, name="t")
