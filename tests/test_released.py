"""The authors' layouts, written as facts about their files say, read back as pixels."""

import math
import re
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.io import savemat
from torch import Tensor

from regen_lib import released
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images, save_images
from regen_lib.core.perturbations import Threat
from regen_lib.networks import build, save_network
from regen_lib.networks.blocks import Task, initialise
from regen_lib.regeneration.files import save_units
from regen_lib.regeneration.unit import regenerate
from regen_lib.released.__main__ import main
from regen_lib.released.layouts import Layout
from tests.conftest import draw


def plane(size: int, xi: float) -> Tensor:
    """A perturbation [3, H, W], RGB, of l-inf norm xi, in which no two axes, colours or corners are alike."""
    v = draw(3, size, size)
    return v / v.abs().max() * xi


def write(path: Path, array: np.ndarray, key: str = "v") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".mat":
        savemat(path, {"r": array})
    else:
        with h5py.File(path, "w") as file:
            file[key] = array
    return path


def bgr_transposed(v: Tensor) -> np.ndarray:
    return v.flip(0).transpose(1, 2).double().numpy()


CASES = {
    "UAP/CaffeNet/caffenet_adv_iter_1.h5": (224, 10, bgr_transposed, slice(0, 224)),
    "UAP/ResNet152/resnet152_adv_iter_1.h5": (224, 16, bgr_transposed, slice(0, 224)),
    "UAP/CaffeNet/Linf_25/caffenet_adv_iter_1.h5": (224, 25, bgr_transposed, slice(0, 224)),
    "FFF/perturbation_caffenet_mean.npy": (227, 10, lambda v: v.permute(1, 2, 0)[None].numpy(), slice(1, 225)),
    "NAG/perturbation19.npy": (224, 10, lambda v: v.permute(1, 2, 0).numpy(), slice(0, 224)),
    "SFool/alexnet_singular_uap_5_c3.h5": (227, 10, lambda v: v.flip(0).numpy(), slice(1, 225)),
    "GAP/res152_guided_GAP_epoch_10.h5": (300, 16, lambda v: v[None].numpy() / 16, slice(30, 254)),
    "GAP/res152_GAP_epoch_10.h5": (224, 16, lambda v: v[None].numpy() / 16, slice(0, 224)),
    "GUAP/resnet152_with_data.npy": (224, 15, lambda v: v.permute(1, 2, 0)[None].numpy() / 1.5, slice(0, 224)),
    "sPGD/spgd_resnet152.h5": (224, 10, lambda v: v.flip(0).numpy(), slice(0, 224)),
    "precomputed/VGG-F.mat": (224, 10, lambda v: v.permute(2, 1, 0).numpy(), slice(0, 224)),
}


@pytest.mark.parametrize("name", CASES)
def test_layouts(tmp_path: Path, name: str) -> None:
    size, xi, store, cut = CASES[name]
    v = plane(size, xi)
    found = released.read_perturbation(write(tmp_path / name, store(v)))
    assert (found.threat.norm, found.threat.xi) == (math.inf, xi)
    assert found.why.startswith("the authors' script for")
    torch.testing.assert_close(found.v, v[None, :, cut, cut], rtol=1e-5, atol=1e-5)


def test_l2(tmp_path: Path) -> None:
    v = plane(224, 1)
    v = v / v.norm() * 2000
    found = released.read_perturbation(write(tmp_path / "UAP/CaffeNet/L_2/a.h5", bgr_transposed(v)))
    assert (found.threat.norm, found.threat.xi) == (2, 2000)
    torch.testing.assert_close(found.v[0], v)


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        ("UAP/a.h5", np.full((3, 224, 224), 12.0), "norm 12, expected 10 or 15"),
        ("UAP/a.h5", np.full((224, 224, 3), 10.0), r"expected axes CWH"),
        ("NAG/a.npy", np.full((200, 200, 3), 10.0), r"3 colours and 224 x 224 pixels"),
        ("NAG/a.npy", np.full((227, 227, 3), 10.0), r"3 colours and 224 x 224 pixels"),
        ("GAP/a.npy", np.full((1, 3, 227, 227), 1.0), r"3 colours and 224 x 224 or 300 x 300 pixels"),
        ("FFF/a.npy", np.full((1, 300, 300, 3), 10.0), r"3 colours and 224 x 224 or 227 x 227 pixels"),
        ("SFool/a.npy", np.full((3, 227, 224), 10.0), r"3 colours and 224 x 224 or 227 x 227 pixels"),
        ("mine/a.npy", np.pad(np.ones((3, 224, 224)), ((0, 0), (0, 32), (0, 32)), constant_values=9), "and 224 x 224 pixels"),
        ("mine/a.npy", np.full((224, 224), 10.0), "in no folder named FFF, GAP, GUAP, NAG, SFool, UAP, precomputed, sPGD: give one"),
        ("mine/a.npy", np.full((224, 224, 3), 10 / 255), "norm 0.03922, expected above 1 and at most 255, in pixels"),
        ("mine/a.npy", np.zeros((224, 224, 3)), "norm 0, expected above 1"),
        ("NAG/a.npy", np.array([{}], object), "damaged or no .npy"),
        ("NAG/a.npy", np.full((224, 224, 3), "x"), "values of type str32, expected floats or signed"),
        ("NAG/a.npy", np.full((224, 224, 3), "10"), "values of type str64, expected floats or signed"),
        ("UAP/a.h5", np.full((3, 224, 224), 10 + 10j), "values of type complex128"),
        ("precomputed/a.mat", np.full((224, 224, 3), 10 + 10j), "values of type complex128"),
        ("NAG/a.npy", np.full((224, 224, 3), -10, np.int8).view(np.uint8), "values of type uint8"),
        ("NAG/a.npy", np.ones((224, 224, 3), bool), "values of type bool"),
        ("NAG/a.npy", np.full((3, 3, 3), 10.0), "224 x 224 pixels"),
        ("GAP/a.npy", np.full((2, 3, 224, 224), 1.0), "expected axes nCHW"),
        ("NAG/a.npy", np.full((224, 224, 3), np.nan), "norm nan"),
    ],
)
def test_wrong_files(tmp_path: Path, name: str, array: np.ndarray, reason: str) -> None:
    with pytest.raises(StudyError, match=reason):
        released.read_perturbation(write(tmp_path / name, array))


def test_matlab_7_3(tmp_path: Path) -> None:
    """HDF5 behind a block of text, with the axes the other way round."""
    v, path = plane(224, 10), tmp_path / "precomputed/VGG-F.mat"
    path.parent.mkdir()
    with h5py.File(path, "w", userblock_size=512) as file:
        file["r"] = v.permute(2, 1, 0).numpy().T
    torch.testing.assert_close(released.read_perturbation(path).v, v[None])


@pytest.mark.parametrize("name", ["precomputed/empty.mat", "precomputed/struct.mat", "UAP/group.h5", "UAP/empty.h5", "NAG/empty.npy"])
def test_files_without_an_array(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir()
    path.write_bytes(b"")
    if path.stem == "struct":
        savemat(path, {"r": {"v": np.ones(3)}})
    if path.stem == "group":
        with h5py.File(path, "w") as file:
            file.create_group("g")["v"] = np.ones(3)
    with pytest.raises(StudyError, match=f"{path.name}(: values of type | is truncated, damaged or no)"):
        released.read_perturbation(path)


@pytest.mark.parametrize(("axes", "first"), [((0, 1, 2), "CHW"), ((1, 2, 0), "HWC")])
def test_anybodys_arrays(tmp_path: Path, axes: tuple[int, ...], first: str) -> None:
    v = plane(224, 8)
    found = released.read_perturbation(write(tmp_path / "mine/a.npy", v.permute(axes).numpy()))
    torch.testing.assert_close(found.v, v[None])
    assert (found.threat, str(found.layout)) == (Threat(math.inf, 8), f"{first}, RGB, times 1")
    assert found.why == "its shape; RGB and pixels are assumed"
    batch = released.read_perturbation(write(tmp_path / "mine/b.npy", v.permute(axes)[None].numpy()))
    torch.testing.assert_close(batch.v, v[None])


@pytest.mark.parametrize("kind", ["<f2", ">f8", "i1", ">i4"])
def test_numbers_with_a_sign_are_read_as_they_are(tmp_path: Path, kind: str) -> None:
    v = plane(224, 10).round()
    found = released.read_perturbation(write(tmp_path / "mine/a.npy", v.numpy().astype(kind)))
    assert torch.equal(found.v, v[None])


def test_the_norm_of_anybodys_array_is_that_of_what_is_cut_out(tmp_path: Path) -> None:
    v = torch.nn.functional.pad(plane(224, 8), (10, 22, 10, 22), value=200)
    layout = Layout("CHW", "RGB", side=256, corner=10)
    found = released.read_perturbation(write(tmp_path / "a.npy", v.numpy()), layout)
    assert found.threat == Threat(math.inf, 8)
    assert float(found.v.abs().max()) == pytest.approx(8)


@pytest.mark.parametrize(
    ("named", "file", "script"),
    [
        ("UAP", "CaffeNet/a.npy", "UAP"),
        ("all", "UAP/a.npy", "UAP"),
        ("UAP/mine", "a.npy", ""),
        ("GAP/all", "UAP/a.npy", "UAP"),
        ("precomputed", "UAP/sPGD/a.npy", "sPGD"),
        ("all", "L_2/sPGD/UAP/a.npy", "UAP"),
        ("UAP/all", "L_2/a.npy", ""),
        ("all", "UAP/sPGD/L_2/a.npy", "sPGD"),
    ],
)
def test_the_innermost_folder_below_the_named_one_says_the_layout(tmp_path: Path, named: str, file: str, script: str) -> None:
    """All these are of three colours first, so that each is read whichever script it is."""
    write(tmp_path / named / file, plane(224, 10).numpy())
    (found,) = released.read_folder(tmp_path / named)
    assert found.why == (f"the authors' script for {script}" if script else "its shape; RGB and pixels are assumed")


def test_the_named_folder_may_be_the_one_to_be_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "sPGD/a.npy", plane(224, 10).numpy())
    monkeypatch.chdir(tmp_path / "sPGD")
    assert [each.why for each in released.read_folder(Path())] == ["the authors' script for sPGD"]


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """A folder with four files, two of them alike, a network that is almost constant, and images."""
    v = plane(224, 10)
    for name, each in {"a_1": v, "a_2": plane(224, 10).flip(1), "a_3": v + 0.001 * v.flip(0)}.items():
        write(tmp_path / f"released/UAP/CaffeNet/{name}.h5", bgr_transposed(each / each.abs().max() * 10))
    write(tmp_path / "released/GAP/b.h5", CASES["GAP/res152_GAP_epoch_10.h5"][2](plane(224, 16).flip(2)))
    network = initialise(build("squeezenet", Task((3, 224, 224), 4, (120.0,) * 3, (60.0,) * 3)), torch.Generator().manual_seed(0))
    save_network(tmp_path / "n.safetensors", network)
    defended = regenerate(network, ["conv1"], ratio=0.5, generator=torch.Generator().manual_seed(1))
    save_units(tmp_path / "u.safetensors", defended, network=network, layers=["conv1"], ratio=0.5, width=1.0)
    pixels = torch.randint(0, 256, (6, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        labels = network.eval()(pixels.float()).argmax(1)
    save_images(tmp_path / "i.safetensors", {"test": Images(pixels, labels)})
    files = {"--network": "n.safetensors", "--images": "i.safetensors", "--units": "u.safetensors", "--table": "t.csv"}
    return [str(tmp_path / "released"), *(word for key, name in files.items() for word in (key, str(tmp_path / name)))]


def test_the_command_shows_what_it_read_and_evaluates_it(tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert re.search(r"UAP/CaffeNet/a_1.h5 +CWH, BGR, times 1 +the authors' script for UAP +l-inf 10", shown)
    assert re.search(r"UAP/CaffeNet/a_3.h5 .* UAP/CaffeNet/a_1.h5\n", shown)
    table = pd.read_csv(tmp_path / "t.csv")
    attacks = ["released/GAP, xi 16", "released/UAP/CaffeNet, xi 10", "random signs, xi 10", "random signs, xi 16"]
    assert table.attack.unique().tolist() == attacks
    assert table.defense.unique().tolist() == ["undefended", "ours"]
    assert (table.images == 6).all()
    undefended = table[table.defense == "undefended"]
    assert (undefended.clean_accuracy == 1).all()
    assert ((undefended.accuracy + undefended.fooling_ratio - 1).abs() < 1e-4).all()  # all were right, so those fooled are those wrong


def test_the_command_chooses_and_refuses(tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--only", "a_1", "a_2", "--count", "3"]) == 0
    shown = capsys.readouterr().out
    assert "GAP" not in shown
    assert "a_3" not in shown
    assert main([*arguments, "--only", "FFF"]) == 2
    assert "holds 4 files, none with FFF in its path" in capsys.readouterr().err
    assert main([str(tmp_path / "nothing"), *arguments[1:]]) == 2
    assert "holds no .h5, .mat, .npy file" in capsys.readouterr().err
    for count in ("0", "-1"):
        assert main([*arguments, "--count", count]) == 2
        assert f"--count {count}: at least one" in capsys.readouterr().err
    (tmp_path / "file").touch()
    for table in (tmp_path, tmp_path / "file/t.csv"):
        assert main([*arguments, "--table", str(table)]) == 2
        shown = capsys.readouterr()
        assert (shown.out, shown.err.startswith(f"error: {table} cannot be written")) == ("", True)
    save_images(tmp_path / "i.safetensors", {"test": Images(torch.zeros(4, 1, 28, 28, dtype=torch.uint8), torch.arange(4))})
    assert main(arguments) == 2
    assert "images of (1, 28, 28), but these perturbations are for (3, 224, 224)" in capsys.readouterr().err
