"""Trees of JPEGs for tests."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

NAMES = ("n01", "n02", "n03")
TREES = {"train": "all", "validation": "all", "test": "all"}


def noise(height: int, width: int, seed: int) -> Tensor:
    """A random image ``[H, W, 3]``."""
    return torch.randint(0, 256, (height, width, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def make_tree(raw: Path) -> Path:
    """Below ``raw/all`` five images of each of three classes, of several sizes; one grey, one CMYK, one with a palette."""
    for index in range(15):
        path = raw / "all" / NAMES[index % 3] / f"{index:02d}.{'png' if index == 9 else 'JPEG'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(noise(260 + index, 300 - index, index).numpy())
        {3: image.convert("L"), 4: image.convert("CMYK"), 9: image.convert("P")}.get(index, image).save(path)
    return raw
