"""Weights from elsewhere, read from files that other writers made: safetensors, torch, scipy, and a protocol buffer encoded by hand."""

import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from scipy.io import savemat
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.networks import build
from regen_lib.networks.blocks import Task
from regen_lib.weights import caffe, load_weights
from tests.conftest import draw

TASK = Task((3, 64, 64), 5, (120.0,) * 3, (1.0,) * 3)
SMALL = {"width": 0.0625, "hidden": 8}


def tiny(name: str = "vgg_f") -> nn.Module:
    network = build(name, TASK, **({} if name == "squeezenet" else SMALL)).eval()
    for index, parameter in enumerate(network.parameters()):
        parameter.data = draw(*parameter.shape, seed=index)
    return network


def message(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def blob(array: Tensor, *, old: bool, doubles: bool = False) -> bytes:
    data = array.double().numpy().tobytes() if doubles else array.numpy().tobytes()
    if old:
        sizes = [1] * (4 - array.ndim) + list(array.shape)
        return b"".join(varint(n << 3) + varint(size) for n, size in zip((1, 2, 3, 4), sizes, strict=True)) + message(5, data)
    return message(7, message(1, b"".join(varint(size) for size in array.shape))) + message(8 if doubles else 5, data)


def caffemodel(layers: list[tuple[str, str, list[Tensor]]], *, old: bool, doubles: bool = False) -> bytes:
    """A NetParameter: its name, a layer without blobs, the layers."""
    name, blobs, outer = (4, 6, 2) if old else (1, 7, 100)
    out = message(1, b"a network") + message(outer, message(name, b"data") + varint(9 << 3 | 5) + struct.pack("<f", 1.5))
    for title, kind, arrays in layers:
        body = message(name, title.encode()) + (b"" if old else message(2, kind.encode()))
        out += message(outer, body + b"".join(message(blobs, blob(a, old=old, doubles=doubles)) for a in arrays))
    return out


def convolutions_and_linear(network: nn.Module) -> list[tuple[str, str, list[Tensor]]]:
    """A network's layers as Caffe has them: BGR input."""
    found = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = module.weight.flip(1) if name == "conv1" else module.weight
            assert module.bias is not None
            found.append((name, "Convolution", [weight.detach().contiguous(), module.bias.detach()]))
    return found


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize(("old", "doubles"), [(False, False), (False, True), (True, False)])
@pytest.mark.parametrize("name", ["caffenet", "vgg_f"])
def test_caffemodel(name: str, tmp_path: Path, *, old: bool, doubles: bool) -> None:
    """conv2, conv4 and conv5 of CaffeNet have groups."""
    network, other = tiny(name), build(name, TASK, **SMALL)
    path = tmp_path / "net.caffemodel"
    path.write_bytes(caffemodel(convolutions_and_linear(network), old=old, doubles=doubles))
    load_weights(other, str(path))
    assert same(network, other)


def test_caffe_batch_norm_and_scale(tmp_path: Path) -> None:
    """Caffe keeps sums and their count; torch wants means."""
    mean, variance, gamma, beta = (draw(4, seed=i).abs() for i in range(4))
    layers = [("conv1", "Convolution", [draw(4, 3, 3, 3)]), ("bn", "BatchNorm", [mean * 7, variance * 7, torch.tensor([7.0])])]
    path = tmp_path / "net.caffemodel"
    path.write_bytes(caffemodel([*layers, ("scale", "Scale", [gamma, beta])], old=False))
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)).requires_grad_(False)
    load_weights(network, str(path))
    x = draw(2, 3, 8, 8)
    plain = nn.functional.conv2d(x, draw(4, 3, 3, 3).flip(1))
    mean, variance, gamma, beta = (v.view(1, -1, 1, 1) for v in (mean, variance, gamma, beta))
    expected = gamma * (plain - mean) / (variance + 1e-5).sqrt() + beta
    torch.testing.assert_close(network.eval()(x), expected, rtol=1e-4, atol=1e-4)
    path.write_bytes(caffemodel(layers, old=False))
    with pytest.raises(StudyError, match="bn is not followed by a Scale"):
        caffe.read(path, network)


@pytest.mark.parametrize("later", [False, True])
def test_matconvnet(tmp_path: Path, *, later: bool) -> None:
    network, other = tiny(), build("vgg_f", TASK, **SMALL)
    cells = []
    for name, module in network.named_modules():
        if not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        weight = module.weight.detach()
        if weight.ndim == 2:
            side = int((weight.shape[1] // 16) ** 0.5) if name == "fc6" else 1  # fc6's filters are as large as its input
            weight = weight.unflatten(1, (-1, side, side))
        filters, biases = weight.permute(2, 3, 1, 0).numpy(), module.bias.detach().numpy()[None]
        pair = np.empty((1, 2), object)
        pair[0, 0], pair[0, 1] = filters, biases
        cells += [{"name": name, "type": "conv", **({"weights": pair} if later else {"filters": filters, "biases": biases})}]
        cells += [{"name": f"relu_{name}", "type": "relu"}]
    layers = np.empty((1, len(cells)), object)
    layers[0] = cells
    savemat(tmp_path / "net.mat", {"layers": layers})
    load_weights(other, str(tmp_path / "net.mat"))
    assert same(network, other)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("ours", [True, False])
def test_files_with_names(tmp_path: Path, suffix: str, *, ours: bool) -> None:
    """Names of this study or of torchvision, in any order."""
    network = tiny("squeezenet")
    reference = torchvision.models.squeezenet1_0(weights=None, num_classes=5)
    for mine, theirs in zip(network.parameters(), reference.parameters(), strict=True):
        theirs.data = mine.data
    state = network.state_dict() if ours else reference.state_dict()
    state = {name: state[name].clone() for name in sorted(state, reverse=True)}
    path = tmp_path / f"net{suffix}"
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    other = build("squeezenet", TASK)
    load_weights(other, str(path))
    assert same(network, other)


class Evil:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return print, ("run",)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.bin", b"", "weights come as"),
        ("a.pth", pickle.dumps(Evil()), "no state_dict of plain tensors"),
        ("a.safetensors", b"12", "truncated or no safetensors"),
        ("a.caffemodel", caffemodel([("c", "Convolution", [draw(3, 3, 3, 3)])], old=False)[:-9], "truncated or no .caffemodel"),
        ("a.caffemodel", message(1, b"only a name"), "no layers with weights"),
        ("a.caffemodel", caffemodel([("c", "Convolution", [draw(3, 3, 3, 3)])], old=False), "does not fit conv1"),
        ("a.mat", b"MATLAB", "no MatConvNet network"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StudyError, match=reason):
        load_weights(tiny(), str(tmp_path / name))
    assert not capsys.readouterr().out
    with pytest.raises(StudyError, match="missing"):
        load_weights(tiny(), str(tmp_path / "none.pth"))


def test_too_few_and_not_finite(tmp_path: Path) -> None:
    network, path = tiny(), tmp_path / "net.caffemodel"
    layers = convolutions_and_linear(network)
    path.write_bytes(caffemodel(layers[:-1], old=False))
    with pytest.raises(StudyError, match="14 arrays for 16"):
        load_weights(tiny(), str(path))
    layers[2][2][1][0] = torch.nan
    path.write_bytes(caffemodel(layers, old=False))
    with pytest.raises(StudyError, match=r"conv3\.bias holds NaN"):
        load_weights(tiny(), str(path))
