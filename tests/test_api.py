"""``import regen_lib``: what it shows, what it costs, and what its one-call functions do."""

import ast
import itertools
import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import regen_lib as rl
from regen_lib.core.storage import weights_hash, write_tensors
from tests.conftest import TASK, draw, linear_network, rng
from tests.repository import REPOSITORY
from tests.small_attacks import SMALL

SOURCE = (REPOSITORY / "regen_lib/__init__.py").read_text()
RECIPE = rl.Recipe(epochs=1, rate=0.01, batch=16)


def bank(v: Tensor, xi: float = 60.0) -> rl.Bank:
    return rl.Bank(v, rl.Threat(torch.inf, xi), "hand", "network", "", 0, (0.0,) * len(v))


def test_import_is_quick_and_waits_for_nothing() -> None:
    """The best of three processes: the machine may be busy."""
    code = (
        "import json, sys, time; t = time.perf_counter(); import regen_lib; t = time.perf_counter() - t\n"
        "print(json.dumps([t, sorted({'torch', 'numpy', 'pandas', 'tqdm'} & set(sys.modules)), dir(regen_lib)]))"
    )
    command, environment = [sys.executable, "-c", code], {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    runs = [json.loads(subprocess.run(command, env=environment, capture_output=True, check=True).stdout) for _ in range(3)]
    assert min(run[0] for run in runs) < 0.2
    assert runs[0][1] == []
    assert {*rl.ATTACKS, "train_units", "evaluate", "__version__"} <= set(runs[0][2])


def test_type_checkers_see_the_names_that_there_are() -> None:
    """Of the attacks at least those that the tests know; they are not in the literal ``__all__``, and exported by ``as``."""
    block = next(node for node in ast.parse(SOURCE).body if isinstance(node, ast.If))
    imports = [(node.module, alias) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    typed = {(module, alias.name) for module, alias in imports}
    there = {(home, name) for home, names in rl._HOMES.items() for name in names}
    assert typed <= there
    assert {name for _, name in there - typed} <= set(rl.ATTACKS) - set(SMALL)
    assert {alias.name for _, alias in imports if alias.asname == alias.name} == {name for _, name in typed} & set(rl.ATTACKS)
    assert sorted(rl.__all__) == sorted({name for _, name in there} | {"__version__"})


def test_the_docstring_names_every_attack() -> None:
    assert rl.__doc__
    assert f"- attacks (:data:`ATTACKS`) {', '.join(f':func:`{name}`' for name in rl.ATTACKS)}:\n  each gives" in rl.__doc__


@pytest.mark.parametrize("name", rl.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(rl, name)
    assert name in dir(rl)
    if callable(value):
        assert value.__module__ in rl._HOMES
        assert value.__doc__


def test_other_names_are_refused_with_those_there_are() -> None:
    with pytest.raises(AttributeError, match="no attribute 'uapp': choose from ATTACKS"):
        _ = rl.uapp


def test_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: {"regen_lib": "7.8"}[name])
    assert rl._version() == "7.8"

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    assert rl._version() == "0+unknown"


class Watched(nn.Module):
    """Gives back what it is given."""

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize(
    ("mean", "std", "scale"), [((0.5, 0.25, 0.1), (0.5, 0.2, 0.3), 255.0), ((127.5, 60.0, 30.0), (58.0, 57.0, 60.0), 1.0)]
)
def test_from_pixels_normalises_as_the_model_wants(mean: tuple[float, ...], std: tuple[float, ...], scale: float) -> None:
    x = torch.rand(2, 3, 4, 4, generator=rng()) * 255
    model = Watched().train()
    network = rl.from_pixels(model, mean, std, scale=scale)
    expected = torch.stack([(x[:, c] / scale - mean[c]) / std[c] for c in range(3)], dim=1)
    assert torch.allclose(network(x), expected, atol=1e-5)
    assert network.network is model
    assert not model.training
    assert network.family == "Watched"


@pytest.mark.parametrize(
    ("mean", "std", "scale", "said"),
    [
        ((0.5,), (0.5, 0.5), 255.0, "one value of each for every channel"),
        ((), (), 255.0, "one value of each"),
        ((123.7,), (58.4,), 255.0, "lie outside 0-255: set scale"),
        ((0.5,), (0.0,), 255.0, "lie outside 0-255"),
        ((-0.5,), (0.5,), 255.0, "lie outside 0-255"),
    ],
)
def test_from_pixels_refuses(mean: tuple[float, ...], std: tuple[float, ...], scale: float, said: str) -> None:
    with pytest.raises(rl.StudyError, match=said):
        rl.from_pixels(Watched(), mean, std, scale=scale)


def test_evaluate_is_eq_9_counted_by_hand(images: rl.Images) -> None:
    """Two linear networks, banks of one perturbation each."""
    weights, biases = {}, {}
    for seed, name in enumerate(("undefended", "other")):
        weights[name], biases[name] = draw(4, 144, seed=seed + 20), draw(4, seed=seed + 30) * 500
    networks = {name: linear_network(weights[name], biases[name], TASK.shape) for name in weights}
    banks = {"weak": bank(draw(1, *TASK.shape, seed=1).clamp(-1, 1), 1.0), "strong": bank(draw(1, *TASK.shape, seed=2) * 15)}
    table = rl.evaluate(networks, images, banks).set_index(["network", "attack"])
    assert list(table.index) == [(n, b) for n in networks for b in banks]

    def right(name: str, v: Tensor) -> list[bool]:
        x = images.pixels.float() + v
        return [int((weights[name] @ i.flatten() + biases[name]).argmax()) == int(y) for i, y in zip(x, images.labels, strict=True)]

    zero, n = torch.zeros(1, *TASK.shape), len(images)
    base = sum(right("undefended", zero)) / n
    for name, attack in itertools.product(networks, banks):
        row = table.loc[(name, attack)]
        clean, hit = right(name, zero), right(name, banks[attack].perturbations)
        ratio = (sum(clean) + sum(hit)) / 2 / n / base
        residuals = [(c + h) / 2 - ratio * u for c, h, u in zip(clean, hit, right("undefended", zero), strict=True)]
        half = 1.959964 * (sum(r * r for r in residuals) / (n - 1)) ** 0.5 / base / n**0.5  # the residuals' mean is zero
        assert row.clean_accuracy == pytest.approx(sum(clean) / n)
        assert row.accuracy == pytest.approx(sum(hit) / n)
        assert (row.restoration, row.ci_low, row.ci_high) == pytest.approx((ratio, ratio - half, ratio + half))
        assert (row.norm, row.xi, row.images) == (torch.inf, banks[attack].threat.xi, n)
    assert table.fooling_ratio.nunique() > 1
    with pytest.raises(rl.StudyError, match="networks has other and no 'undefended'"):
        rl.evaluate({"other": networks["other"]}, images, banks)
    with pytest.raises(rl.StudyError, match="0 banks on 48 images"):
        rl.evaluate(networks, images, {})


def test_units_learn_to_undo_what_they_met() -> None:
    """Two classes, the brighter half of the image; the network is as it was afterwards."""
    labels = torch.arange(256) % 2
    halves = torch.zeros(2, *TASK.shape)
    halves[0, :, :6], halves[1, :, 6:] = 1, 1
    images = rl.Images((120 * torch.rand(256, *TASK.shape, generator=rng()) + 40 * halves[labels]).byte(), labels)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(1152, 2)
    )
    for index, parameter in enumerate(model.parameters()):
        parameter.data = draw(*parameter.shape, seed=index) * 0.1
    plain = rl.from_pixels(model, (80.0,), (40.0,), scale=1)
    rl.fit(plain, [plain], images, rl.Recipe(epochs=2, rate=0.01, batch=16), seed=0, name="plain")
    v = rl.spgd(plain, images.pixels, rl.Threat(torch.inf, 40), seed=0, count=2, passes=5, batch=16)
    asked = [p.requires_grad_(index % 2 == 0).requires_grad for index, p in enumerate(plain.parameters())]
    before = weights_hash(plain)
    model.train()
    defended = rl.train_units(plain, images, v, ["network.0"], recipe=rl.Recipe(epochs=5, rate=0.05, batch=16), synthetic=16, ratio=1.0)
    assert weights_hash(plain) == before
    assert [p.requires_grad for p in plain.parameters()] == asked
    assert model.training
    assert model[0].training
    table = rl.evaluate({"undefended": plain.eval(), "units": defended}, images, {"v": v}).set_index("network")
    assert table.clean_accuracy["undefended"] > 0.95
    assert table.accuracy["undefended"] < 0.7
    assert table.accuracy["units"] > 0.9


def test_train_units_takes_a_bank_or_what_algorithm_1_made_of_it(network: nn.Module, images: rl.Images) -> None:
    """The same seed gives the same bytes; another bank does not."""
    settings = {"recipe": RECIPE, "synthetic": 8, "seed": 3, "name": "n"}
    members = draw(3, *TASK.shape, seed=8).clamp(-2, 2) * 20
    made = rl.train_units(network, images, bank(members), ["conv1_1"], **settings)
    assert weights_hash(made) == weights_hash(rl.train_units(network, images, bank(members), ["conv1_1"], **settings))
    assert weights_hash(made) != weights_hash(rl.train_units(network, images, bank(-members.flip(3)), ["conv1_1"], **settings))
    plain = rl.train_units(network, images, members[:1], ["conv1_1"], **settings)
    assert weights_hash(plain) != weights_hash(made)
    assert set(rl.units(plain)) == {"conv1_1"}
    with pytest.raises(rl.StudyError, match="layer 'conv9' is not in the network"):
        rl.train_units(network, images, members, ["conv9"])


def test_defend_by_name(network: nn.Module, images: rl.Images) -> None:
    v = bank(draw(2, *TASK.shape, seed=8).clamp(-2, 2) * 20)
    asked = [p.requires_grad_().requires_grad for p in network.parameters()]
    jpeg = rl.defend("jpeg", network, images, v, quality=10)
    assert jpeg.quality == 10
    assert [p.requires_grad for p in network.parameters()] == asked
    prn = rl.defend("prn", network, images, v, recipe=RECIPE, maps=8, blocks=2, probability=1.0)
    assert sum(isinstance(m, nn.Conv2d) for m in prn.rectifier.modules()) == 1 + 2 * 2 + 2
    clipped = rl.defend("feature_norm_clipping", network, images, v, layers=["conv2_1"])
    assert clipped(images.pixels.float()).shape == (48, 4)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("jepg", {}, "defense 'jepg' is unknown: choose one of"),
        ("jpeg", {"qualty": 3}, "jpeg has no option qualty: choose from quality"),
        ("adversarial_training", {"recipe": RECIPE}, "adversarial_training: training.epsilon is missing: give"),
        (
            "adversarial_training",
            {"epsilon": 8.0},
            "adversarial_training: recipe is None: adversarial_training is trained: give it a recipe",
        ),
        ("feature_norm_clipping", {}, "feature_norm_clipping needs layers"),
        ("prn_det", {}, "set built_on to"),
    ],
)
def test_defend_names_what_is_wrong(network: nn.Module, images: rl.Images, name: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(rl.StudyError, match=said):
        rl.defend(name, network, images, bank(torch.ones(1, *TASK.shape)), **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"channels": 1, "maps": -4, "blocks": 1}, "maps is -4"),
        ({"channels": 1, "maps": 4, "blocks": 1, "wide": 2}, "wide is 2: prn has no such option"),
        ({"maps": 4, "blocks": 1}, "channels is missing"),
        ({"channels": 1, "maps": "4", "blocks": 1}, "maps is '4'"),
    ],
)
def test_kept_options_are_those_of_the_defence(tmp_path: Path, network: nn.Module, options: dict[str, object], said: str) -> None:
    """A whole file, with its own sum, that another version or another hand wrote."""
    path = tmp_path / "prn.safetensors"
    write_tensors(path, "defense", {"a": torch.zeros(1)}, defense="prn", options=options, network_hash=weights_hash(network))
    with pytest.raises(rl.StudyError, match=said):
        rl.load_defense(path, network)


def test_what_was_defended_is_kept_and_found_again(tmp_path: Path, network: nn.Module, images: rl.Images) -> None:
    v, x = bank(torch.ones(2, *TASK.shape)), images.pixels.float()
    prn = rl.defend("prn", network, images, v, recipe=RECIPE, maps=4, blocks=1)
    rl.save_network(tmp_path / "network.safetensors", network)
    rl.save_defense(tmp_path / "prn.safetensors", prn)
    again = rl.load_network(tmp_path / "network.safetensors")
    found = rl.load_defense(tmp_path / "prn.safetensors", again)
    assert weights_hash(found) == weights_hash(prn)
    torch.testing.assert_close(found(x), prn(x))  # what is read lies otherwise in memory, and sums may round otherwise
    rl.save_defense(tmp_path / "again.safetensors", found)
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "prn.safetensors").read_bytes()
    with pytest.raises(rl.StudyError, match="it holds prn, not jpeg"):
        rl.load_defense(tmp_path / "prn.safetensors", again, "jpeg")
    with pytest.raises(rl.StudyError, match=r"Sequential is no defence that defend\(\) made"):
        rl.save_defense(tmp_path / "other.safetensors", network)
    with pytest.raises(rl.StudyError, match=r"Linear was not made by networks\.build"):
        rl.save_network(tmp_path / "other.safetensors", nn.Linear(2, 2))
    assert not (tmp_path / "other.safetensors").exists()
