"""Memory and resuming at ImageNet's scale: ``python -m benchmarks.memory --images 20000``.

Makes a tree of JPEGs, decodes it in a process that is killed half-way and in one that goes on, then evaluates and trains on
it, each in a process of its own, whose memory is watched. Writes ``benchmarks/results/memory.csv``.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch
from PIL import Image
from torch import nn

from regen_lib.core.images import load_images
from regen_lib.core.inference import predict
from regen_lib.core.progress import tqdm
from regen_lib.core.runtime import start
from regen_lib.core.storage import write_table
from regen_lib.data.decoding import SIZE, prepare
from regen_lib.data.listing import listing
from regen_lib.data.stream import Streamed
from regen_lib.networks.blocks import Normalize
from regen_lib.study.report.machine import processor
from regen_lib.training.loop import fit
from regen_lib.training.recipe import Recipe

CLASSES = 100
TREES = {"train": "all", "validation": "all", "test": "all"}


def make_tree(folder: Path, count: int) -> None:
    """``count`` JPEGs of ImageNet's usual size, in ``CLASSES`` folders."""

    def one(index: int) -> None:
        rng = np.random.default_rng(index)
        coarse = Image.fromarray(rng.integers(0, 256, (16, 20, 3), dtype=np.uint8))
        path = folder / f"all/n{index % CLASSES:08d}/{index:07d}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse.resize((500, 375)).save(path, quality=85)

    with ThreadPoolExecutor() as pool:
        list(tqdm(pool.map(one, range(count)), total=count, desc="making JPEGs"))


def small() -> nn.Module:
    """A network that costs next to nothing: memory is what is measured."""
    body = [nn.Conv2d(3, 8, 7, 8), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, CLASSES)]
    return nn.Sequential(Normalize((120.0,) * 3, (60.0,) * 3), *body)


def work(what: str, folder: Path) -> None:
    """One part of the measurement, in this process."""
    start(1)
    torch.manual_seed(0)
    target = folder / "images.safetensors"
    if what == "decode":
        prepare(folder, target, validation=1000, seed=0, trees=TREES, counts={"train": 1000, "test": None})
    elif what == "evaluate":
        test = load_images(target)["test"]
        print(f"{len(predict(small().eval(), test.pixels, torch.zeros(5, 3, 224, 224), torch.arange(len(test)) % 5))} images")
    else:
        network = small()
        fit(network, [network], Streamed(listing(folder / "all")), Recipe(1, 0.01, batch=128), seed=0, name="streamed")  # type: ignore[arg-type]


def watched(what: str, folder: Path, kill: Callable[[], bool] = lambda: False) -> dict[str, str | float]:
    """Run a part in a process of its own, perhaps to be killed; its seconds and its largest memory, mapped files apart."""
    began = time.monotonic()
    process = psutil.Popen([sys.executable, "-m", "benchmarks.memory", "--work", what, "--folder", str(folder)], stderr=subprocess.DEVNULL)
    own = total = 0
    while process.poll() is None:
        try:
            memory = process.memory_info()
        except psutil.NoSuchProcess:
            break
        own, total = max(own, memory.rss - memory.shared), max(total, memory.rss)
        if kill():
            process.send_signal(signal.SIGKILL)
        time.sleep(0.1)
    if process.wait() not in (0, -signal.SIGKILL):
        raise SystemExit(f"{what} failed")
    return {"work": what, "seconds": time.monotonic() - began, "own_mb": own / 1e6, "with_mapped_mb": total / 1e6}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Memory and resuming on a generated tree of JPEGs.")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--work", choices=("decode", "evaluate", "train"), help="one part alone, on --folder")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.folder)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_tree(folder, options.images)
        notes, count = folder / "images.safetensors.parts", -(-options.images // SIZE)
        rows = [watched("decode", folder, lambda: len(list(notes.glob("*.json"))) > count // 2) | {"work": "decode, killed half-way"}]
        kept = {path: path.stat().st_mtime_ns for path in notes.glob("*.json")}
        rows.append(watched("decode", folder, lambda: check(kept)) | {"work": f"decode, going on from {len(kept)} of {count} parts"})
        splits = load_images(folder / "images.safetensors")
        assert sum(len(split) for split in splits.values()) == options.images
        rows += [watched("evaluate", folder), watched("train", folder)]
    table = pd.DataFrame(rows).assign(images=options.images, machine=processor())
    write_table(Path(__file__).parent / "results/memory.csv", table)
    print(table.to_string(index=False, float_format="%.0f"))


def check(kept: dict[Path, int]) -> bool:
    """Never kills; fails where a finished part is written again."""
    for path, written in kept.items():
        if path.exists() and path.stat().st_mtime_ns != written:
            raise SystemExit(f"{path} was decoded twice")
    return False


if __name__ == "__main__":
    main()
