"""Networks as MatConvNet keeps them, and the files that SciPy and MATLAB make of them."""

from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat
from torch import nn

Layers = list[tuple[str, np.ndarray, np.ndarray]]


def matconvnet_layers(network: nn.Module) -> Layers:
    """Name, filters and biases as MatConvNet has them: [height, width, inputs, filters]."""
    found = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = module.weight.detach()
            if weight.ndim == 2:
                side = int((weight.shape[1] // 16) ** 0.5) if name == "fc6" else 1  # fc6's filters are as large as its input
                weight = weight.unflatten(1, (-1, side, side))
            assert module.bias is not None
            found.append((name, weight.permute(2, 3, 1, 0).numpy(), module.bias.detach().numpy()[None]))
    return found


def save_mat(path: Path, layers: Layers, *, later: bool, **options: bool) -> None:
    """As SciPy writes it, with a layer of neither after each."""
    cells: list[dict[str, object]] = []
    for name, filters, biases in layers:
        pair = np.empty((1, 2), object)
        pair[0, 0], pair[0, 1] = filters, biases
        cells += [{"name": name, "type": "conv", **({"weights": pair} if later else {"filters": filters, "biases": biases})}]
        cells += [{"name": f"relu_{name}", "type": "relu"}]
    row = np.empty((1, len(cells)), object)
    row[0] = cells
    savemat(path, {"layers": row}, **options)


def save_mat73(path: Path, layers: Layers, *, later: bool) -> None:
    """As MATLAB writes version 7.3: HDF5 behind a block of text, cells as references, texts as numbers, axes reversed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        cells = []
        for name, filters, biases in layers:
            for title, arrays in ((name, (filters, biases)), (f"relu_{name}", ())):
                layer = file.create_group(f"#refs#/{title}")
                layer["name"] = np.array([[ord(letter)] for letter in title], np.uint16)
                if arrays and later:
                    for part, array in zip("wb", arrays, strict=True):
                        file[f"#refs#/{title}_{part}"] = array.T
                    parts = [[file[f"#refs#/{title}_{part}"].ref] for part in "wb"]
                    layer.create_dataset("weights", data=np.array(parts, h5py.ref_dtype), dtype=h5py.ref_dtype)
                elif arrays:
                    layer["filters"], layer["biases"] = (array.T for array in arrays)
                cells.append([layer.ref])
        file.create_dataset("layers", data=np.array(cells, h5py.ref_dtype), dtype=h5py.ref_dtype)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")
