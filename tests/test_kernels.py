"""Every kernel against its twin (in Triton's interpreter where there is no GPU), and every twin against something else."""

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from regen_lib import kernels
from regen_lib.core.perturbations import Threat
from regen_lib.kernels import deepfool_step, perturb, regenerate, universal_step, walks

ROOT = Path(__file__).parent.parent
GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
RELATIVE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}
needs_triton = pytest.mark.skipif(kernels.triton is None, reason="Triton is not installed")


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def close(found: Tensor, expected: Tensor, relative: float) -> None:
    """Within ``relative`` of the largest value."""
    bound = relative * float(expected.abs().max())
    torch.testing.assert_close(found.float(), expected.float(), rtol=0, atol=bound)


def test_the_rule_of_dispatch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors on the CPU go to the twin; without Triton all do."""
    assert not kernels.fused(torch.zeros(1))
    assert kernels.fused(rand(1)) == (GPU and kernels.triton is not None)
    monkeypatch.setattr(kernels, "triton", None)
    assert not kernels.fused(rand(1))
    assert kernels.jit(len) is len


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the compiler makes of each launch: the kernel's name, the bytes that a thread spills, and the PTX."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TRITON_")}
    environment["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("triton"))
    done = subprocess.run(
        [sys.executable, "-m", "tests.compile_work"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_kernel_compiles_for_an_h100(compiled: list[dict[str, Any]]) -> None:
    """The interpreter takes what the compiler does not, so that passing in it is not enough."""
    sources = "".join(path.read_text() for path in (ROOT / "regen_lib/kernels").glob("*.py"))
    assert {launch["kernel"] for launch in compiled} == set(re.findall(r"(_\w+)\[.*\]\(", sources))
    assert not any(launch["spilled"] for launch in compiled if not launch["ones"])


def test_the_compiler_finds_what_makes_kernels_fast(compiled: list[dict[str, Any]]) -> None:
    """Reads and writes of 16 bytes where sizes allow them; tensor cores for the 16-bit matrix products, none for float32's."""
    for name in ("_perturb", "_step", "_signs", "_sphere"):
        assert any("st.global.v4.b32" in launch["ptx"] for launch in compiled if launch["kernel"] == name), name
    for launch in compiled:
        if launch["kernel"] in ("_gather", "_scatter"):
            assert ("mma" in launch["ptx"]) == ("f16" in launch["ptx"])  # bf16 too


IMAGES = [(1, 1, 5, 5), (4, 3, 9, 7), (3, 2, 40, 33)]


@needs_triton
@pytest.mark.parametrize("shape", IMAGES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("normal", [False, True])
@pytest.mark.parametrize("dtype", RELATIVE)
def test_perturb(shape: tuple[int, ...], layout: torch.memory_format, clip: bool, normal: bool, dtype: torch.dtype) -> None:
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    v, choice = rand(3, *shape[1:]) * 60, torch.arange(shape[0], device=DEVICE) % 3
    values = (rand(shape[1]).abs() * 100, rand(shape[1]).abs() * 50 + 5) if normal else None
    given = (pixels.contiguous(memory_format=layout), v.contiguous(memory_format=layout), choice, clip, values, dtype)
    found, expected = perturb.kernel(*given), perturb.twin(*given)
    close(found, expected, RELATIVE[dtype])
    assert found.dtype == dtype
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert found.shape == shape


def test_perturb_by_hand() -> None:
    pixels, v = torch.tensor([[[[0, 250]]], [[[10, 20]]]], dtype=torch.uint8), torch.tensor([[[[-5.0, 3.0]]], [[[1.0, 30.0]]]])
    choice, normal = torch.tensor([1, 0]), (torch.tensor([10.0]), torch.tensor([2.0]))
    assert perturb.perturb(pixels, v, choice).flatten().tolist() == [1, 280, 5, 23]
    assert perturb.perturb(pixels, v, choice, clip=True).flatten().tolist() == [1, 255, 5, 23]
    assert perturb.perturb(pixels, v, choice, clip=True, normal=normal).flatten().tolist() == [-4.5, 122.5, -2.5, 6.5]


UNITS = [(1, 4, 3, 2, 3), (2, 13, 6, 7, 5), (3, 70, 40, 33, 9)]  # images, channels, ranked ones, width, side


def ends(case: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Features, ranked channels, hidden features, and the weights of both ends."""
    count, total, ranked, width, side = case
    channels = torch.randperm(total, generator=torch.Generator().manual_seed(0))[:ranked].to(DEVICE)
    features, hidden = (rand(count, c, side, side).to(dtype).contiguous(memory_format=torch.channels_last) for c in (total, width))
    return features, channels, hidden, rand(width, ranked).to(dtype), rand(ranked, width).to(dtype)


@needs_triton
@pytest.mark.parametrize("case", UNITS)
@pytest.mark.parametrize("dtype", RELATIVE)
def test_regenerate(case: tuple[int, ...], dtype: torch.dtype) -> None:
    if dtype == torch.bfloat16 and not GPU:
        pytest.skip("Triton's interpreter multiplies bfloat16 matrices as if they were integers")
    features, channels, hidden, inwards, outwards = ends(case, dtype)
    close(regenerate.gather_kernel(features, channels, inwards), regenerate.gather_twin(features, channels, inwards), RELATIVE[dtype])
    expected = regenerate.scatter_twin(hidden, channels, outwards, features)
    found = regenerate.scatter_kernel(hidden, channels, outwards, features)
    assert found is features  # in place
    close(found, expected, RELATIVE[dtype])


@pytest.mark.parametrize("case", UNITS)
def test_regenerate_position_by_position(case: tuple[int, ...]) -> None:
    features, channels, hidden, inwards, outwards = ends(case, torch.float32)
    rows, ranked = features.permute(0, 2, 3, 1).double().cpu().numpy(), channels.tolist()
    gathered = np.einsum("nhwc,dc->ndhw", rows[..., ranked], inwards.double().cpu().numpy())
    close(regenerate.gather_conv(features, channels, inwards).cpu(), torch.from_numpy(gathered), 1e-5)
    added = np.einsum("nhwd,cd->nhwc", hidden.permute(0, 2, 3, 1).double().cpu().numpy(), outwards.double().cpu().numpy())
    for k, channel in enumerate(ranked):
        rows[..., channel] += added[..., k]
    close(regenerate.scatter_conv(hidden, channels, outwards, features).cpu(), torch.from_numpy(rows).permute(0, 3, 1, 2), 1e-5)


def test_regenerate_is_differentiable_where_gradients_are_asked_for() -> None:
    features, channels, hidden, inwards, outwards = (
        t.cpu().double() if t.is_floating_point() else t.cpu() for t in ends(UNITS[0], torch.float32)
    )
    assert torch.autograd.gradcheck(
        lambda f, w: regenerate.gather_conv(f, channels, w), (features.requires_grad_(), inwards.requires_grad_())
    )
    given = (hidden.requires_grad_(), outwards.requires_grad_(), features)
    assert torch.autograd.gradcheck(lambda h, w, f: regenerate.scatter_conv(h, channels, w, f), given)


def test_a_unit_of_mixed_types_is_for_the_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under autocast features are bfloat16 and weights float32, which no kernel multiplies."""
    monkeypatch.setattr(regenerate, "fused", lambda *tensors: True)
    features, channels, _, inwards, _ = ends(UNITS[1], torch.float32)
    with torch.no_grad():
        assert regenerate.inferred(features, channels, inwards)
        assert not regenerate.inferred(features.bfloat16(), channels, inwards)
    assert not regenerate.inferred(features, channels, inwards)


@needs_triton
@pytest.mark.parametrize(("images", "others", "shape"), [(1, 1, (1, 3, 3)), (5, 3, (3, 21, 33)), (4, 9, (1, 28, 28))])
def test_deepfool_step(images: int, others: int, shape: tuple[int, ...]) -> None:
    outputs, gradients = rand(images, others + 2), rand(others, images, *shape)
    classes = torch.stack([torch.randperm(others + 2, generator=torch.Generator().manual_seed(k))[: others + 1] for k in range(images)])
    given = outputs, gradients, classes.to(DEVICE)
    close(deepfool_step.kernel(*given), deepfool_step.twin(*given), 1e-5)


def test_deepfool_step_reaches_the_nearest_plane() -> None:
    """For linear logits the step ends on a boundary, and no other boundary was nearer (all of them by brute force)."""
    weight, x = rand(4, 6, seed=1).cpu(), rand(3, 6, seed=2).cpu()
    outputs = x @ weight.T
    classes = outputs.argsort(1, descending=True)
    gradients = torch.stack([(weight[classes[:, k]] - weight[classes[:, 0]]).view(3, 1, 2, 3) for k in range(1, 4)])
    r = deepfool_step.step(outputs, gradients, classes).view(3, 6)
    for image, (label, *rest) in enumerate(classes.tolist()):
        distances = [(outputs[image, label] - outputs[image, k]) / (weight[k] - weight[label]).norm() for k in rest]
        torch.testing.assert_close(r[image].norm(), min(distances))
        moved = (x[image] + r[image]) @ weight.T
        assert abs(float(moved[label] - moved[rest].max())) < 1e-5


@needs_triton
@pytest.mark.parametrize("norm", [math.inf, 2.0])
@pytest.mark.parametrize("xi", [10.0, 5000.0])
@pytest.mark.parametrize(("lanes", "images", "shape"), [(1, 1, (1, 3, 3)), (3, 4, (3, 21, 33))])
def test_universal_step(norm: float, xi: float, lanes: int, images: int, shape: tuple[int, ...]) -> None:
    v, gradients = rand(lanes, *shape) * 8, rand(lanes, images, *shape, seed=1)
    gradients[..., 0, 0] = 0  # no direction
    close(universal_step.kernel(v, gradients, 7.0, norm, xi), universal_step.twin(v, gradients, 7.0, norm, xi), 1e-5)


@pytest.mark.parametrize("norm", [math.inf, 2.0])
@pytest.mark.parametrize("xi", [10.0, 5000.0])
def test_universal_step_by_numpy(norm: float, xi: float) -> None:
    v, gradients = rand(2, 1, 4, 5).cpu() * 8, rand(2, 3, 1, 4, 5, seed=1).cpu()
    for k, found in enumerate(universal_step.universal_step(v, gradients, 7.0, norm, xi).double().numpy()):
        total = gradients[k].double().numpy().sum(0)
        towards = np.sign(total) if norm == math.inf else total / np.linalg.norm(total)
        moved = v[k].double().numpy() + 7 * towards
        expected = np.clip(moved, -xi, xi) if norm == math.inf else moved * min(1, xi / np.linalg.norm(moved))
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert float(Threat(norm, xi).size(universal_step.universal_step(v, gradients, 7.0, norm, xi)).max()) <= xi * (1 + 1e-5)


def walking(members: int, count: int, most: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Callable[[], tuple[Tensor, ...]]]:
    """A Gram matrix of members nearly alike, draws, the limit, and walks that have not begun."""
    rng = torch.Generator().manual_seed(5)
    bank = torch.randn(members, 40, dtype=torch.float64, generator=rng) + torch.linspace(0.5, 1.5, members, dtype=torch.float64)[:, None]
    gram, limit = bank @ bank.T, (bank @ bank.T).diagonal().min()
    draws = torch.rand(most, count, dtype=torch.float64, generator=rng), torch.randint(members, (most, count), generator=rng)

    def fresh() -> tuple[Tensor, ...]:
        state = (
            torch.zeros(count, members, dtype=torch.float64),
            torch.zeros(count, members, dtype=torch.float64),
            torch.zeros(count).long(),
        )
        return tuple(t.to(DEVICE) for t in state)

    return (gram.to(DEVICE),), tuple(t.to(DEVICE) for t in (*draws, limit)), fresh


@needs_triton
@pytest.mark.parametrize(("members", "count", "most"), [(1, 3, 4), (5, 12, 30), (25, 40, 8)])
def test_walks(members: int, count: int, most: int) -> None:
    gram, draws, fresh = walking(members, count, most)
    mine, theirs = fresh(), fresh()
    for _ in range(2):  # the second call goes on where the first stopped
        walks.kernel(*gram, *mine, *draws)
        walks.twin(*gram, *theirs, *draws)
        for found, expected in zip(mine, theirs, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert len(set(theirs[2].tolist())) > 1 or members == 1


def test_walks_carry_the_products() -> None:
    """What is carried along is G c, and a walk that is past the limit stands still."""
    (gram,), draws, fresh = walking(5, 12, 30)
    c, u, steps = fresh()
    walks.advance(gram, c, u, steps, *draws)
    torch.testing.assert_close(u, c @ gram)
    ended = walks.past(c, u, draws[-1])
    assert bool(ended.any())
    before = c.clone(), steps.clone()
    walks.advance(gram, c, u, steps, *draws)
    assert torch.equal(c[ended], before[0][ended])
    assert torch.equal(steps[ended], before[1][ended])
