"""Files of arrays from elsewhere that name types, sizes and places as they like: refused, with the path and a remedy, at once."""

import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from regen_lib.core.errors import StudyError
from regen_lib.released import read_perturbation
from regen_lib.weights import _matlab, load_weights, matconvnet
from tests.test_weights import tiny

HEADER, INT32, FLOAT64 = 128, 5, 9


def saved(value: object, *, compressed: bool = False) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, {"layers": value}, do_compression=compressed)
    return buffer.getvalue()


def cells(*values: object) -> np.ndarray:
    row = np.empty((1, len(values)), object)
    for index, value in enumerate(values):
        row[0, index] = value
    return row


@pytest.mark.parametrize("kind", [0, 8, 10, 11, 14, 19, 200])
def test_numbers_of_a_type_that_is_none_never_reach_scipy(tmp_path: Path, kind: int) -> None:
    """Its reader looks the type up in a table of C, and ends the process where the table has none."""
    tag, path = struct.pack("<II", FLOAT64, 40), tmp_path / "net.mat"
    data = saved(np.arange(5.0) + 0.5)
    assert data.count(tag) == 1
    path.write_bytes(data.replace(tag, struct.pack("<II", kind, 40)))
    with pytest.raises(StudyError, match=r"net\.mat is truncated, damaged or no \.mat file of weights \(ValueError.*download it again"):
        load_weights(tiny(), str(path))


def test_scipy_does_end_the_process(tmp_path: Path) -> None:
    """What the look through the file is for: without this, it could go."""
    tag, path = struct.pack("<II", FLOAT64, 40), tmp_path / "net.mat"
    path.write_bytes(saved(np.arange(5.0) + 0.5).replace(tag, struct.pack("<II", 19, 40)))
    code = "import sys; from scipy.io import loadmat; loadmat(sys.argv[1])"
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False, capture_output=True).returncode < 0


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("big", [False, True])
def test_what_matlab_holds_passes(tmp_path: Path, *, compressed: bool, big: bool) -> None:
    """Cells, structures, texts, small and empty elements, complex and sparse numbers, and the other order of bytes."""
    path = tmp_path / "a.mat"
    value = cells({"name": "conv1", "x": np.ones((2, 3), np.float32)}, np.zeros((0, 0)), cells(np.int8(3)), 1j * np.ones(4), "\u00e9")
    path.write_bytes(saved(value, compressed=compressed))
    if big:  # scipy writes this machine's order only: the header alone, and an element of a byte
        path.write_bytes(b"MATLAB 5.0".ljust(124) + struct.pack(">H", 0x0100) + b"MI" + big_endian())
    found, expected = _matlab.load(path), loadmat(path, struct_as_record=False)
    assert found["layers"].shape == expected["layers"].shape


def big_endian() -> bytes:
    def element(kind: int, data: bytes) -> bytes:
        return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)

    name = element(1, b"layers")
    return element(14, element(6, struct.pack(">II", 6, 0)) + element(INT32, struct.pack(">II", 1, 2)) + name + element(9, bytes(16)))


def test_layers_that_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "net.mat"
    path.write_bytes(saved(np.zeros(2**20), compressed=True))
    with pytest.raises(StudyError, match="layers is no cell array"):
        load_weights(tiny(), str(path))


@pytest.mark.parametrize("name", ["UAP/v.h5", "sPGD/v.npy", "precomputed/v.mat"])
def test_a_pipe_is_no_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(StudyError, match="is missing, or no file: download it again"):
        read_perturbation(path)


def test_arrays_larger_than_any_disk(tmp_path: Path) -> None:
    (tmp_path / "sPGD").mkdir()
    with h5py.File(tmp_path / "sPGD/v.h5", "w") as file:
        file.create_dataset("v", (3, 2**20, 2**20), "f4", chunks=(1, 64, 64))
    with pytest.raises(StudyError, match=r"v\.h5 is truncated.*13,194,139,533,312 bytes, expected at most"):
        read_perturbation(tmp_path / "sPGD/v.h5")
    np.save(tmp_path / "sPGD/v.npy", np.zeros((3, 9, 9), np.float32))
    data = (tmp_path / "sPGD/v.npy").read_bytes()
    (tmp_path / "sPGD/v.npy").write_bytes(data.replace(b"(3, 9, 9), }        ", b"(3, 900000, 900000)}"))
    with pytest.raises(StudyError, match=r"v\.npy is truncated, damaged or no \.npy file of a perturbation"):
        read_perturbation(tmp_path / "sPGD/v.npy")


def as_text(file: h5py.File, _other: Path) -> None:
    file.create_dataset("v", 10**6, "S2000", chunks=(1,))


def stored_elsewhere(file: h5py.File, other: Path) -> None:
    file.create_dataset("v", (3, 224, 224), "f4", external=[(str(other), 0, h5py.h5f.UNLIMITED)])


def virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout((3, 224, 224), "f4")
    layout[:] = h5py.VirtualSource(str(other), "v", (3, 224, 224))
    file.create_virtual_dataset("v", layout)


def external_link(file: h5py.File, other: Path) -> None:
    file["v"] = h5py.ExternalLink(str(other), "/v")


def soft_link(file: h5py.File, _other: Path) -> None:
    file["w"], file["v"] = np.ones((3, 224, 224), np.float32), h5py.SoftLink("/w")


def one_huge_chunk(file: h5py.File, _other: Path) -> None:
    file.create_dataset("v", (3, 224, 224), "f4", chunks=(1000, 1000, 1000), maxshape=(None, None, None), compression="gzip")


def packed_twice(file: h5py.File, _other: Path) -> None:
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk((3, 224, 224))
    made.set_deflate(9)
    made.set_deflate(9)
    h5py.h5d.create(file.id, b"v", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((3, 224, 224)), made)


HOSTILE: list[tuple[Callable[[h5py.File, Path], None], str]] = [
    (as_text, "values of type|2,000,000,000 bytes"),
    (stored_elsewhere, "an array that lies in other files"),
    (virtual, "an array that lies in other files"),
    (external_link, "v is a link to another place"),
    (soft_link, "v is a link to another place"),
    (one_huge_chunk, "4,000,000,000 bytes, expected at most"),
    (packed_twice, "compressed more than once"),
]


@pytest.mark.parametrize(("make", "said"), HOSTILE, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("name", ["UAP/v.h5", "precomputed/v.mat"])
def test_an_array_that_is_not_the_files_own(tmp_path: Path, make: Callable[[h5py.File, Path], None], said: str, name: str) -> None:
    """The other file is a pipe: whoever opens it waits for ever."""
    path, other = tmp_path / name, tmp_path / "other"
    path.parent.mkdir()
    os.mkfifo(other)
    with h5py.File(path, "w") as file:
        make(file, other)
        if path.suffix == ".mat":
            file.move("v", "r")
    with pytest.raises(StudyError, match=said.replace("v is", "[vr] is")):
        read_perturbation(path)


@pytest.mark.parametrize(("make", "said"), HOSTILE, ids=lambda value: getattr(value, "__name__", ""))
def test_filters_that_are_not_the_files_own(tmp_path: Path, make: Callable[[h5py.File, Path], None], said: str) -> None:
    path, other = tmp_path / "net.mat", tmp_path / "other"
    os.mkfifo(other)
    with h5py.File(path, "w") as file:
        make(layer := file.create_group("layer"), other)
        layer.move("v", "filters")
        layer["biases"] = np.ones(3, np.float32)
        file.create_dataset("layers", data=np.array([layer.ref], h5py.ref_dtype), dtype=h5py.ref_dtype)
    with pytest.raises(StudyError, match=said.replace("v is", "filters is")):
        load_weights(tiny(), str(path))


def test_filters_of_a_network_larger_than_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each within the bound, and a hundred references to the one of them."""
    monkeypatch.setattr(matconvnet, "LARGEST", 2**20)
    with h5py.File(tmp_path / "net.mat", "w") as file:
        layer = file.create_group("layer")
        layer["name"] = np.array([[99]], np.uint16)
        layer.create_dataset("filters", (2**8, 2**8), "f4")
        layer["biases"] = np.ones(3, np.float32)
        file.create_dataset("layers", data=np.array([layer.ref] * 100, h5py.ref_dtype), dtype=h5py.ref_dtype)
    with pytest.raises(StudyError, match="262,144 bytes, expected at most 2"):
        load_weights(tiny(), str(tmp_path / "net.mat"))
