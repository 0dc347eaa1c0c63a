"""The authors' layouts, written as facts about their files say, read back as pixels."""

import math
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from scipy.io import savemat
from torch import Tensor

from regen_lib import released
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images, save_images
from regen_lib.networks import build, save_network
from regen_lib.networks.blocks import Task, initialise
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
    "SFool/alexnet_singular_uap_5_c3.h5": (227, 10, lambda v: v.numpy(), slice(1, 225)),
    "GAP/res152_guided_GAP_epoch_10.h5": (300, 16, lambda v: v[None].numpy() / 16, slice(30, 254)),
    "GAP/res152_GAP_epoch_10.h5": (224, 16, lambda v: v[None].numpy() / 16, slice(0, 224)),
    "GUAP/resnet152_with_data.npy": (224, 15, lambda v: v.permute(1, 2, 0)[None].numpy() / 1.5, slice(0, 224)),
    "sPGD/spgd_resnet152.h5": (224, 10, lambda v: v.numpy(), slice(0, 224)),
    "precomputed/VGG-F.mat": (224, 10, lambda v: v.permute(2, 1, 0).numpy(), slice(0, 224)),
}


@pytest.mark.parametrize("name", CASES)
def test_layouts(tmp_path: Path, name: str) -> None:
    size, xi, store, cut = CASES[name]
    v = plane(size, xi)
    found, threat = released.read_perturbation(write(tmp_path / name, store(v)))
    assert (threat.norm, threat.xi) == (math.inf, xi)
    torch.testing.assert_close(found, v[None, :, cut, cut], rtol=1e-5, atol=1e-5)


def test_l2(tmp_path: Path) -> None:
    v = plane(224, 1)
    v = v / v.norm() * 2000
    found, threat = released.read_perturbation(write(tmp_path / "UAP/CaffeNet/L_2/a.h5", bgr_transposed(v)))
    assert (threat.norm, threat.xi) == (2, 2000)
    torch.testing.assert_close(found[0], v)


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        ("UAP/a.h5", np.full((3, 224, 224), 12.0), "norm 12, expected 10 or 15"),
        ("UAP/a.h5", np.full((224, 224, 3), 10.0), r"expected axes CWH"),
        ("NAG/a.npy", np.full((200, 200, 3), 10.0), r"224 pixels or more"),
        ("mine/a.npy", np.full((224, 224, 3), 10.0), "whose layout is it"),
        ("NAG/a.npy", np.array([{}], object), "damaged or no .npy"),
        ("NAG/a.npy", np.full((224, 224, 3), "x"), "no .npy file of a perturbation"),
        ("NAG/a.npy", np.full((3, 3, 3), 10.0), "224 pixels or more"),
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
    torch.testing.assert_close(released.read_perturbation(path)[0], v[None])


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
    with pytest.raises(StudyError, match=f"{path.name} is truncated, damaged or no"):
        released.read_perturbation(path)


def test_the_command_evaluates_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("UAP/CaffeNet/a_1.h5", "UAP/CaffeNet/a_2.h5", "GAP/b.h5"):
        case = "GAP/res152_GAP_epoch_10.h5" if name.startswith("GAP") else "UAP/CaffeNet/caffenet_adv_iter_1.h5"
        write(tmp_path / "released" / name, CASES[case][2](plane(224, CASES[case][1])))
    task = Task((3, 224, 224), 4, (120.0,) * 3, (60.0,) * 3)
    network = initialise(build("squeezenet", task), torch.Generator().manual_seed(0))
    save_network(tmp_path / "n.safetensors", network)
    pixels = torch.randint(0, 256, (6, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    save_images(tmp_path / "i.safetensors", {"test": Images(pixels, torch.arange(6) % 4)})
    arguments = ["--network", str(tmp_path / "n.safetensors"), "--images", str(tmp_path / "i.safetensors"), "--count", "5"]
    assert released.main([str(tmp_path / "released"), *arguments]) == 0
    shown = capsys.readouterr().out
    assert "released/UAP/CaffeNet, xi 10" in shown
    assert "released/GAP, xi 16" in shown
    assert released.main([str(tmp_path / "nothing"), *arguments]) == 2
    assert "holds no .h5" in capsys.readouterr().err
    save_images(tmp_path / "i.safetensors", {"test": Images(pixels[:, :1, :28, :28], torch.arange(6) % 4)})
    assert released.main([str(tmp_path / "released"), *arguments]) == 2
    assert "images of (1, 28, 28), but released perturbations are for (3, 224, 224)" in capsys.readouterr().err
