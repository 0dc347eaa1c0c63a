"""Weights from elsewhere, read from files that other writers made: safetensors, torch, scipy, and a protocol buffer encoded by hand."""

import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from http.client import IncompleteRead
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from regen_lib.core.errors import StudyError
from regen_lib.networks import build
from regen_lib.networks.blocks import Task
from regen_lib.weights import caffe, load_weights, place
from tests.conftest import draw
from tests.matconvnet import matconvnet_layers, save_mat, save_mat73

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


@pytest.mark.parametrize("write", [save_mat, save_mat73])
@pytest.mark.parametrize("later", [False, True])
def test_matconvnet(tmp_path: Path, write: Callable[..., None], *, later: bool) -> None:
    network, other = tiny(), build("vgg_f", TASK, **SMALL)
    write(tmp_path / "net.mat", matconvnet_layers(network), later=later)
    load_weights(other, str(tmp_path / "net.mat"))
    assert same(network, other)


@pytest.mark.parametrize("form", ["compressed", "7.3", ".pth"])
def test_damage_is_named_whatever_the_parser_makes_of_it(tmp_path: Path, form: str) -> None:
    """Flipped bytes and cuts: refused with the path, or, where a format has no checksum, read as numbers; never a raw error."""
    network, draws = tiny(), random.Random(form)
    path = tmp_path / ("net.pth" if form == ".pth" else "net.mat")
    if form == ".pth":
        torch.save(network.state_dict(), path)
    elif form == "7.3":
        save_mat73(path, matconvnet_layers(network), later=True)
    else:
        save_mat(path, matconvnet_layers(network), later=True, do_compression=True)
    whole, refused = path.read_bytes(), list[str]()
    cuts = [whole[: int(len(whole) * share)] for share in (0, 0.01, 0.1, 0.5, 0.9, 0.999)]
    flips = [flipped(whole, draws.randrange(len(whole))) for _ in range(8)]
    for data in [*cuts, *flips]:
        path.write_bytes(data)
        try:
            load_weights(tiny(), str(path))
        except StudyError as error:
            refused.append(str(error))
    assert all(message.startswith(str(path)) for message in refused)
    assert len(refused) >= len(cuts) - 1 + (0 if form == "7.3" else len(flips) - 3)  # zip's and MATLAB's padding may be anything


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]


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


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_wrapped_and_nested_names(tmp_path: Path, suffix: str) -> None:
    """As ``DataParallel`` and training scripts leave them."""
    network, other = tiny("squeezenet"), build("squeezenet", TASK)
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    path = tmp_path / f"net{suffix}"
    torch.save({"epoch": 3, "state_dict": state}, path) if suffix == ".pth" else save_file(state, path)
    load_weights(other, str(path))
    assert same(network, other)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int32])
def test_numbers_that_are_no_weights(tmp_path: Path, dtype: torch.dtype) -> None:
    network, path = tiny("squeezenet"), tmp_path / "net.pth"
    torch.save({name: tensor.to(dtype) for name, tensor in network.state_dict().items()}, path)
    with pytest.raises(StudyError, match=f"holds {dtype}, strided: expected plain floating-point numbers"):
        load_weights(tiny("squeezenet"), str(path))


def test_a_compressed_archive_is_no_file_of_torchs(tmp_path: Path) -> None:
    """A few bytes could ask for any memory."""
    path = tmp_path / "net.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))
    with pytest.raises(StudyError, match="compressed"):
        load_weights(tiny(), str(path))


CAFFE_ORDER = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")


@pytest.mark.parametrize("old", [False, True])
def test_googlenet_without_its_auxiliary_heads(tmp_path: Path, *, old: bool) -> None:
    """bvlc_googlenet's names and order: loss1 stands after inception 4a, loss2 after 4d, loss3 is the network's own."""
    options = {"width": 0.0625, "stem": (7, 2)}
    network, other = build("googlenet", TASK, **options).eval(), build("googlenet", TASK, **options)
    layers: list[tuple[str, str, list[Tensor]]] = []
    names = ["conv1/7x7_s2", "conv2/3x3_reduce", "conv2/3x3"]
    names += [f"inception_{module}/{part}" for module in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b") for part in CAFFE_ORDER]
    modules = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for index, (name, module) in enumerate(zip([*names, "loss3/classifier"], modules, strict=True)):
        module.weight.data, module.bias.data = draw(*module.weight.shape, seed=index), draw(len(module.bias), seed=-index - 1)
        weight = module.weight.flip(1) if name.startswith("conv1/") else module.weight
        layers.append((name, "Convolution", [weight.detach().contiguous(), module.bias.detach()]))
        head = {"inception_4a/pool_proj": "loss1", "inception_4d/pool_proj": "loss2"}.get(name)
        if head:
            layers += [(f"{head}/{part}", "InnerProduct", [draw(5, 7), draw(5)]) for part in ("conv", "fc", "classifier")]
    path = tmp_path / "bvlc_googlenet.caffemodel"
    path.write_bytes(caffemodel(layers, old=old))
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
        ("a.pth", b"<!DOCTYPE html><title>404</title>", "no state_dict of plain tensors"),
        ("a.safetensors", b"12", "truncated, damaged or no .safetensors file"),
        ("a.caffemodel", caffemodel([("c", "Convolution", [draw(3, 3, 3, 3)])], old=False)[:-9], "it ends within a field"),
        ("a.caffemodel", message(1, b"only a name"), "no layers with weights"),
        ("a.caffemodel", caffemodel([("c", "Convolution", [draw(3, 3, 3, 3)])], old=False), "does not fit conv1"),
        ("a.caffemodel", b"\x80" * 2_000_000, "a number does not end"),
        ("a.caffemodel", b"\x08\x01" * 5_000_000, "more than 200,000 fields"),
        ("a.caffemodel", message(100, message(7, message(7, message(1, b"\x01" * 2_000_000)))), "more than 200,000 fields"),
        ("a.caffemodel", varint(100 << 3 | 2) + varint(2**62), "it ends within a field"),
        ("a.caffemodel", message(100, message(7, varint(1 << 3) + varint(2**63) + message(5, b"1234"))), "no .caffemodel file"),
        ("a.mat", b"MATLAB", "no .mat file"),
        ("a.mat", b"\x89HDF\r\n\x1a\n", "no .mat file"),
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


def test_a_damaged_download_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch checks what it downloads, and not what it downloaded before."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    kept = tmp_path / "checkpoints/squeezenet1_0-b66bff10.pth"
    kept.parent.mkdir()
    torch.save(tiny("squeezenet").state_dict(), kept)
    with pytest.raises(StudyError, match=f"{kept.name} is damaged: delete it"):
        load_weights(tiny("squeezenet"), "torchvision")


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda tensor: tensor.to_sparse(), "torch.float32, sparse_coo"),
        (lambda tensor: tensor.to("meta"), "torch.float32, on meta"),
        (lambda tensor: tensor.to(torch.float8_e4m3fn), "torch.float8_e4m3fn, strided"),
    ],
)
def test_tensors_of_other_kinds_are_named(change: Callable[[Tensor], Tensor], kind: str) -> None:
    network = tiny("squeezenet")
    found = [(name, change(tensor)) for name, tensor in network.state_dict().items() if not name.startswith("normalize.")]
    with pytest.raises(StudyError, match=f"holds {kind}: expected plain floating-point numbers of 16, 32 or 64 bits"):
        place(network, found, "w.pth")


@pytest.mark.parametrize("strides", [(1, 1), (0, 1), (1, 0), (0, 0), (2, 1)])
def test_numbers_that_lie_on_each_other_are_refused(tmp_path: Path, strides: tuple[int, int]) -> None:
    """A flipped bit of a stride in torch's old form, whose pickle has no checksum, would read as other weights."""
    network, path = tiny("squeezenet"), tmp_path / "net.pth"
    name, last = list(network.state_dict().items())[-2]
    lying = torch.ones(last.numel()).as_strided(last.shape, (*strides, 0, 0))
    torch.save({**network.state_dict(), name: lying}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(StudyError, match=rf"net\.pth: numbers of {name} lie on each other.*: download it again"):
        load_weights(tiny("squeezenet"), str(path))


def test_any_order_of_dimensions_and_gaps_between_numbers_are_read(tmp_path: Path) -> None:
    """As networks in ``channels_last`` and views of larger tensors are saved."""
    network, other, path = tiny("squeezenet"), tiny("squeezenet"), tmp_path / "net.pth"
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for name, tensor in state.items():
        if tensor.ndim == 4:
            wide = torch.cat([tensor, tensor], 1).contiguous(memory_format=torch.channels_last)
            state[name] = wide[:, : tensor.shape[1]]
    torch.save(state, path)
    for parameter in other.parameters():
        parameter.data.zero_()
    load_weights(other, str(path))
    assert same(network, other)


def test_a_download_cut_short_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for error in (RuntimeError("invalid hash value"), IncompleteRead(b"x", 9), ConnectionResetError("reset")):

        def broken(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(torch.hub, "load_state_dict_from_url", broken)
        monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", broken)
        with pytest.raises(StudyError, match=r"squeezenet.*download it elsewhere and name the file"):
            load_weights(tiny("squeezenet"), "torchvision")
