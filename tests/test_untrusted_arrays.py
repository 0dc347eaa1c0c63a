"""Files of arrays from elsewhere that name types, sizes and places as they like: refused, with the path and a remedy, at once."""

import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from regen_lib.core.errors import StudyError
from regen_lib.released import read_perturbation
from regen_lib.weights import _matlab, load_weights
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
    with pytest.raises(StudyError, match=r"v\.h5: 3,298,534,883,328 values, a perturbation has at most"):
        read_perturbation(tmp_path / "sPGD/v.h5")
    np.save(tmp_path / "sPGD/v.npy", np.zeros((3, 9, 9), np.float32))
    data = (tmp_path / "sPGD/v.npy").read_bytes()
    (tmp_path / "sPGD/v.npy").write_bytes(data.replace(b"(3, 9, 9), }        ", b"(3, 900000, 900000)}"))
    with pytest.raises(StudyError, match=r"v\.npy is truncated, damaged or no \.npy file of a perturbation"):
        read_perturbation(tmp_path / "sPGD/v.npy")
