"""Trees of JPEGs for tests."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from regen_lib.data.sources import prepare

NAMES = ("n01", "n02", "n03")
TREES = {"train": "all", "validation": "all", "test": "all"}
OPTIONS: dict[str, Any] = {"trees": TREES, "counts": {"train": 6, "test": None}}


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


def prepared(raw: Path, tmp_path: Path, **options: object) -> tuple[Path, tuple[str, ...]]:
    target = tmp_path / "data/images.safetensors"
    return target, prepare("image_folder", raw, target, validation=3, seed=0, **{**OPTIONS, **options})


def digest(image: Tensor) -> str:
    top, left = (round((side - 224) / 2) for side in image.shape[1:])
    return hashlib.sha256(image[:, top : top + 224, left : left + 224].numpy().tobytes()).hexdigest()
