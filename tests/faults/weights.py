"""Weights and released perturbations from elsewhere, in every format that is read: damaged, hostile, or of another kind."""

import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from random import Random

import h5py
import numpy as np
import torch
from safetensors.torch import save
from scipy.io import savemat
from torch import nn

from regen_lib.released import read_perturbation
from regen_lib.weights import load_weights
from tests.faults import damages, hostile
from tests.faults.artifacts import digest
from tests.faults.damages import Spoil
from tests.faults.fault import Fault, expect
from tests.matconvnet import matconvnet_layers, save_mat73
from tests.test_weights import caffemodel, convolutions_and_linear, tiny

FLIPS = 16
UNSEEN = {"dimensions in another order"}  # two arrays of one shape, in each other's place: no checksum tells
SIDE = 224


@dataclass(frozen=True)
class Format:
    """A format: a file's name, its whole bytes, how it is read, and the runs of bytes in it where nothing checks a bit.

    ``payload`` is empty where the format has checksums; elsewhere bits are flipped only in what says where which numbers are, and
    nowhere where that says so without any redundancy.
    """

    name: str
    file: str
    data: bytes
    read: Callable[[Path], object]
    payload: tuple[bytes, ...] = ()

    def structure(self) -> list[int]:
        """The places at which a flipped bit can be noticed."""
        taken = bytearray(len(self.data))
        for run in self.payload:
            start = self.data.find(run)
            assert start >= 0, self.name
            taken[start : start + len(run)] = b"\1" * len(run)
        return [place for place, inside in enumerate(taken) if not inside]


def filled(path: Path) -> object:
    """A network's weights after reading them from a file."""
    network = tiny()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    load_weights(network, str(path))
    return network.state_dict()


def released(path: Path) -> object:
    """A released perturbation, wherever its file lies."""
    return replace(read_perturbation(path), path=Path(path.name))


def saved(state: object, *, zipped: bool = True) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def matconvnet(network: nn.Module) -> tuple[list[dict[str, object]], tuple[bytes, ...]]:
    """A network as MatConvNet's cells, and the runs of its numbers in a file that is not compressed."""
    layers = matconvnet_layers(network)
    cells: list[dict[str, object]] = [
        {"name": name, "type": "conv", "filters": filters, "biases": biases} for name, filters, biases in layers
    ]
    runs = tuple(array.tobytes(order="F") for _, filters, biases in layers for array in (filters, biases))
    return cells, runs


def mat(cells: list[dict[str, object]], *, compressed: bool) -> bytes:
    """What MATLAB saves."""
    layers = np.empty((1, len(cells)), object)
    layers[0] = cells
    buffer = io.BytesIO()
    savemat(buffer, {"layers": layers}, do_compression=compressed)
    return buffer.getvalue()


def mat73(network: nn.Module) -> bytes:
    """What MATLAB saves as version 7.3."""
    with tempfile.TemporaryDirectory() as folder:
        save_mat73(Path(folder) / "net.mat", matconvnet_layers(network), later=True)
        return (Path(folder) / "net.mat").read_bytes()


def perturbation(*shape: int) -> np.ndarray:
    """Random signs of 10 pixels, in blocks that compress."""
    return np.where(np.random.default_rng(0).random(shape) < 0.5, -10, 10).astype(np.float32)


def numpy_bytes(array: np.ndarray) -> bytes:
    """An .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def hdf5_bytes(array: np.ndarray) -> bytes:
    """An .h5 file whose numbers have a checksum."""
    with tempfile.TemporaryDirectory() as folder:
        with h5py.File(Path(folder) / "v.h5", "w") as file:
            file.create_dataset("v", data=array, fletcher32=True, chunks=array.shape)
        return (Path(folder) / "v.h5").read_bytes()


@cache
def formats() -> tuple[Format, ...]:
    """Every format that is read, with a whole file of each."""
    network = tiny()
    state = {name: tensor.detach() for name, tensor in network.state_dict().items() if not name.startswith("normalize.")}
    runs = tuple(tensor.numpy().tobytes() for tensor in state.values())
    blobs = convolutions_and_linear(network)
    caffe = tuple(array.numpy().tobytes() for _, _, arrays in blobs for array in arrays)
    cells, columns = matconvnet(network)
    later = mat73(network)
    nested: dict[str, object] = {"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}
    chw = perturbation(3, SIDE, SIDE)
    return (
        Format("safetensors", "net.safetensors", save(state), filled, runs),
        Format("pth", "net.pth", saved(state), filled),
        Format("pth, nested", "net.pt", saved(nested), filled),
        Format("pth, old", "net.pth", saved(state, zipped=False), filled, runs),
        Format("caffemodel", "net.caffemodel", caffemodel(blobs, old=False), filled, caffe),
        Format("caffemodel, old", "net.caffemodel", caffemodel(blobs, old=True), filled, caffe),
        Format("mat", "net.mat", mat(cells, compressed=False), filled, columns),
        Format("mat, compressed", "net.mat", mat(cells, compressed=True), filled),
        Format("mat, 7.3", "net.mat", later, filled, (later,)),  # HDF5 says by a bare number where an array begins
        Format("npy", "sPGD/v.npy", numpy_bytes(chw), released, (chw.tobytes(),)),
        Format("h5", "UAP/v.h5", hdf5_bytes(chw), released),
    )


def attempt(form: Format, spoil: Spoil, project: Path) -> None:
    """Read a damaged file; what comes out must be what a whole one gives."""
    path = Path("data/raw") / form.file
    path.parent.mkdir(parents=True)
    path.write_bytes(form.data)
    right = expected(form)
    spoil(path)
    expect(digest(form.read(path)) == right, "read without a word, and not what was written")


@cache
def expected(form: Format) -> str:
    """What a whole file gives."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / form.file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(form.data)
        return digest(form.read(path))


def refused(form: Format, data: bytes | Spoil, project: Path) -> None:
    """Read a file that holds no weights; whatever comes out is wrong."""
    path = Path("data/raw") / form.file
    path.parent.mkdir(parents=True)
    path.write_bytes(data) if isinstance(data, bytes) else data(path)
    form.read(path)
    expect(False, "read without a word")


def flips(form: Format, rng: Random) -> dict[str, Spoil]:
    """Bits flipped where the format lets it be noticed."""
    places = form.structure()
    chosen = [(rng.choice(places), rng.randrange(8)) for _ in range(FLIPS if places else 0)]
    return {
        f"bit {bit} of byte {place} flipped": damages.rewritten(partial(damages.flipped, place=place, bit=bit)) for place, bit in chosen
    }


def faults(rng: Random) -> Iterator[Fault]:
    """Every damage of every format, and files made to do harm."""
    for form in formats():
        spoils = {**damages.truncations(), **flips(form, rng), **damages.REPLACED, **damages.NO_FILE}
        if not form.payload:
            spoils |= damages.OVERWRITTEN
        if form.name == "safetensors":
            spoils |= {name: spoil for name, spoil in damages.HEADERS.items() if name not in UNSEEN}
        names = Path(form.file).name
        for name, spoil in spoils.items():
            yield Fault("weights", f"{form.name}: {name}", partial(attempt, form, spoil), names=names)
        for name, data in hostile.files(Path(form.file).suffix).items():
            yield Fault("weights", f"{form.name}: {name}", partial(refused, form, data), names=names, cost=0.1)
