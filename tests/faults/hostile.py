"""Files of weights made to do harm, or that hold something else: none of them may be read."""

import collections
import io
import os
import pickle
import struct
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from scipy import sparse
from scipy.io import savemat

from tests.faults.damages import PWNED, Evil, Spoil, bomb
from tests.test_weights import blob, message, tiny, varint

HUGE = 2**40
Files = dict[str, bytes | Spoil]


def files(suffix: str) -> Files:
    """The hostile files of a format, as bytes, or as what writes them."""
    kinds: dict[str, Callable[[], Files]] = {".pth": pth, ".caffemodel": caffe, ".mat": mat, ".npy": npy, ".h5": h5}
    return kinds[suffix]() if suffix in kinds else {}


def torch_file(value: object, path: Path) -> None:
    """What torch.save writes."""
    torch.save(value() if callable(value) else value, path)


def calling(function: Any, path: Path) -> None:
    """A state_dict that calls ``function`` with the name of a folder beside the project when it is unpickled."""
    evil = type("Evil", (), {"__reduce__": lambda self: (function, (str(Path.cwd().parent / PWNED),))})()
    torch.save(collections.OrderedDict(weight=torch.ones(2), extra=evil), path, pickle_module=Pickles)


class Pickles:
    """A pickle module whose pickler takes classes made on the spot."""

    Pickler, Unpickler, HIGHEST_PROTOCOL = pickle._Pickler, pickle.Unpickler, 2
    dumps, loads, dump, load = pickle.dumps, pickle.loads, pickle.dump, pickle.load


def encrypted(path: Path) -> None:
    """A zip whose entries are said to be encrypted."""
    torch.save({"weight": torch.ones(2)}, path)
    path.write_bytes(path.read_bytes().replace(b"PK\1\2\0\0\0\0\0\0", b"PK\1\2\0\0\0\0\1\0"))


def pth() -> Files:
    """torch's own format."""
    values: dict[str, object] = {
        "a list": [torch.ones(2)],
        "a tensor": torch.ones(2),
        "a text": "weights",
        "a number": 3,
        "nothing": None,
        "an empty state": {},
        "numbers as names": {1: torch.ones(2)},
        "texts for tensors": {"conv1.weight": "ones"},
        "states in states": {"state_dict": {"state_dict": {"state_dict": {"model": {}}}}},
        "a state of itself": ringed,
        "2^40 values of one byte": lambda: {"conv1.weight": torch.ones(1).expand(HUGE)},
        "overlapping values": overlapping,
        "a sparse tensor": lambda: {"conv1.weight": torch.eye(3).to_sparse()},
        "a tensor without data": lambda: {"conv1.weight": torch.ones(4, 3, 11, 11, device="meta")},
        "a quantised tensor": lambda: {"conv1.weight": torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.quint8)},
        "complex values": lambda: {"conv1.weight": torch.ones(4, dtype=torch.complex64)},
        "a whole module": lambda: torch.nn.Linear(2, 2),
        "numpy's arrays": {"conv1.weight": np.ones(4)},
        "an optimiser's state": lambda: torch.optim.SGD([torch.ones(2, requires_grad=True)], lr=0.1).state_dict(),
    }
    found: Files = {name: partial(torch_file, value) for name, value in values.items()}
    found |= {f"calls {function.__name__}": partial(calling, function) for function in (os.mkdir, os.system, exec, open)}
    return {**found, "a zip bomb": bomb, "said to be encrypted": encrypted, "deep pickle": b"\x80\x02" + b"(" * 200_000 + b"."}


def overlapping() -> dict[str, torch.Tensor]:
    """A whole network's state, but that numbers of its first weight lie on each other."""
    state = {name: tensor.detach() for name, tensor in tiny().state_dict().items() if not name.startswith("normalize.")}
    first = next(iter(state))
    return {**state, first: torch.ones(9).as_strided(state[first].shape, (1, 1, 0, 0))}


def ringed() -> dict[str, Any]:
    """A dictionary that holds itself."""
    state: dict[str, Any] = {}
    state["state_dict"] = state
    return state


def layer(*blobs: bytes, name: bytes = b"conv1", kind: bytes = b"Convolution") -> bytes:
    """A layer of a current .caffemodel."""
    return message(100, message(1, name) + message(2, kind) + b"".join(message(7, data) for data in blobs))


def shape(*sizes: int) -> bytes:
    """A blob's shape."""
    return message(7, message(1, b"".join(varint(size) for size in sizes)))


def caffe() -> Files:
    """A protocol buffer, whose lengths are whatever it says."""
    good = blob(torch.ones(3), old=False)
    norm = [blob(torch.ones(3), old=False), blob(torch.ones(3), old=False), blob(torch.zeros(1), old=False)]
    scale = layer(good, good, name=b"scale", kind=b"Scale")
    return {
        "a length of 2^60": varint(100 << 3 | 2) + varint(2**60) + b"x",
        "a number of 1 MB": b"\xff" * 2**20,
        "a number of 1 MB in a field": varint(100 << 3 | 2) + b"\x80" * 2**20 + b"\1",
        "a length of 2^64": message(100, varint(7 << 3 | 2) + b"\xff" * 9 + b"\1"),
        "a shape of 2^80": layer(shape(HUGE, HUGE) + message(5, bytes(12))),
        "a shape of -1": layer(shape(2**64 - 1) + message(5, bytes(12))),
        "a shape of 0": layer(shape(0, 3) + message(5, b"")),
        "a shape of 10,000 sizes": layer(shape(*[1] * 10_000) + message(5, bytes(4))),
        "no shape and no data": layer(b""),
        "11 bytes of floats": layer(shape(3) + message(5, bytes(11))),
        "floats and doubles": layer(shape(5) + message(5, bytes(12)) + message(8, bytes(16))),
        "a name that is no text": layer(good, name=b"\xff\xfe\x00"),
        "a count of 0": layer(*norm, name=b"bn", kind=b"BatchNorm") + scale,
        "two blobs in a BatchNorm": layer(*norm[:2], name=b"bn", kind=b"BatchNorm") + scale,
        "a scale alone": scale,
        "10,000 layers": layer(good) * 10_000,
        "groups": varint(100 << 3 | 3) + layer(good) + varint(100 << 3 | 4),
        "wire type 7": varint(100 << 3 | 7) + b"x" * 100,
        "field 0": varint(2) + varint(1) + b"x",
        "zeros": bytes(1000),
        "the oldest form": message(2, message(1, message(1, b"conv1") + message(50, message(5, bytes(12))))),
        "a prototxt": b'name: "net"\nlayer { name: "conv1" type: "Convolution" }\n',
    }


def mat_file(compressed: bool = False, **variables: object) -> bytes:
    """What MATLAB saves."""
    buffer = io.BytesIO()
    savemat(buffer, variables, do_compression=compressed)
    return buffer.getvalue()


def cells(*layers: object) -> np.ndarray:
    """MATLAB's row of cells."""
    found = np.empty((1, len(layers)), object)
    found[0] = layers
    return found


def mat() -> Files:
    """MATLAB's format, with what a MatConvNet network does not hold."""
    conv: dict[str, Any] = {"name": "conv1", "type": "conv", "filters": np.ones((3, 3, 3, 4), np.float32), "biases": np.ones((1, 4))}
    variables: dict[str, object] = {
        "layers is a text": "conv1",
        "layers is a number": 3.0,
        "layers is empty": np.empty((0, 0), object),
        "layers is a sparse matrix": sparse.csc_matrix(np.eye(3)),
        "cells of numbers": cells(1.0, 2.0),
        "cells of cells": cells(cells(1.0), cells(2.0)),
        "filters are a text": cells({**conv, "filters": "ones"}),
        "filters of five dimensions": cells({**conv, "filters": np.ones((1, 1, 1, 1, 2))}),
        "filters are complex": cells({**conv, "filters": np.ones((3, 3, 3, 4)) * 1j}),
        "filters without biases": cells({"name": "conv1", "filters": conv["filters"]}),
        "filters without a name": cells({key: conv[key] for key in ("filters", "biases")}),
        "filters are cells": cells({**conv, "filters": cells(1.0)}),
        "filters are NaN": cells({**conv, "filters": conv["filters"] * np.nan}),
        "another network": cells(conv),
    }
    found: Files = {name: mat_file(layers=value) for name, value in variables.items()}
    found |= {"no layers": mat_file(net=1.0), "a DagNN": mat_file(net={"layers": {"name": "conv1"}, "params": {"name": "w"}})}
    found |= {"256 MB of zeros": mat_file(compressed=True, layers=np.zeros(2**25)), "a header alone": mat_file()[:128]}
    return {**found, "an element of 2^31 bytes": mat_file()[:128] + struct.pack("<II", 14, 2**31 - 8) + bytes(64)}


def numpy_header(text: str, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    """An .npy file whose header is whatever ``text`` says."""
    line = text.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(line)) + line + data


def npy() -> Files:
    """NumPy's format."""
    about = "{'descr': %s, 'fortran_order': False, 'shape': %s}"
    return {
        "a shape of 2^40": numpy_header(about % ("'<f4'", f"({HUGE},)"), bytes(64)),
        "a negative shape": numpy_header(about % ("'<f4'", "(3, -224, -224)"), bytes(4 * 3 * 224 * 224)),
        "objects": numpy_header(about % ("'|O'", "(1,)"), pickle.dumps(Evil("never"))),
        "code for a shape": numpy_header(about % ("'<f4'", f"__import__('os').mkdir('../{PWNED}')")),
        "deep header": numpy_header("(" * 20_000),
        "no numbers": numpy_header(about % ("'<U4'", "(3, 224, 224)"), bytes(16 * 3 * 224 * 224)),
        "complex": numpy_header(about % ("'<c8'", "(3, 224, 224)"), bytes(8 * 3 * 224 * 224)),
        "structures": numpy_header(about % ("[('a', '<f4')]", "(3, 224, 224)"), bytes(4 * 3 * 224 * 224)),
        "a scalar": numpy_header(about % ("'<f4'", "()"), bytes(4)),
        "an empty array": numpy_header(about % ("'<f4'", "(3, 0, 0)")),
        "zeros": numpy_header(about % ("'<f4'", "(3, 224, 224)"), bytes(4 * 3 * 224 * 224)),
        "NaN": numpy_header(about % ("'<f4'", "(3, 224, 224)"), b"\xff" * (4 * 3 * 224 * 224)),
        "version 9": numpy_header(about % ("'<f4'", "(3,)"), bytes(12), b"\x09\0"),
        "an .npz": npz(),
    }


def npz() -> bytes:
    """Several arrays in a zip."""
    buffer = io.BytesIO()
    np.savez(buffer, v=np.zeros((3, 224, 224), np.float32))
    return buffer.getvalue()


def hdf5(make: Callable[[h5py.File], object]) -> bytes:
    """An .h5 file of whatever ``make`` puts in."""
    with tempfile.TemporaryDirectory() as folder:
        with h5py.File(Path(folder) / "v.h5", "w") as file:
            make(file)
        return (Path(folder) / "v.h5").read_bytes()


def h5() -> Files:
    """HDF5, with what no perturbation is."""
    makes: dict[str, Callable[[h5py.File], object]] = {
        "nothing in it": lambda file: None,
        "a group": lambda file: file.create_group("v"),
        "texts": lambda file: file.create_dataset("v", data=["a", "b"]),
        "structures": lambda file: file.create_dataset("v", data=np.zeros(3, [("a", "f4")])),
        "no values": lambda file: file.create_dataset("v", data=h5py.Empty("f4")),
        "a scalar": lambda file: file.create_dataset("v", data=3.0),
        "16 TB never written": lambda file: file.create_dataset("v", (3, 2**20, 2**20), "f4", chunks=(1, 64, 64)),
        "a link to nowhere": lambda file: file.__setitem__("v", h5py.SoftLink("/nowhere")),
        "a link to itself": lambda file: file.__setitem__("v", h5py.SoftLink("/v")),
        "another file's array": lambda file: file.__setitem__("v", h5py.ExternalLink("/etc/passwd", "/v")),
        "NaN": lambda file: file.create_dataset("v", data=np.full((3, 224, 224), np.nan)),
        "complex": lambda file: file.create_dataset("v", data=np.ones((3, 224, 224), np.complex64)),
        "another size": lambda file: file.create_dataset("v", data=np.ones((3, 32, 32))),
        "another scale": lambda file: file.create_dataset("v", data=np.ones((3, 224, 224)) * 0.04),
    }
    return {name: hdf5(make) for name, make in makes.items()}
