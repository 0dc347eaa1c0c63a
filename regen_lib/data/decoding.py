"""JPEGs decoded once into one mapped file of uint8 pixels: in parallel, resumable, each bad file named."""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torchvision.transforms.v2.functional import center_crop

from regen_lib.core import processes
from regen_lib.core.errors import StudyError
from regen_lib.core.progress import tqdm
from regen_lib.core.seeding import generator
from regen_lib.core.storage import FORMAT, KEY, read_tensors, write_tensors
from regen_lib.data.image_folder import CROP, WORKERS, Listing, balanced, decode, listing

SIZE = 500  # images decoded between two saves
BYTES = {"labels": 8, "pixels": 3 * CROP * CROP}  # of one image


@dataclass(frozen=True)
class Shard:
    """Some images of a split, and the file that keeps them until all are decoded; another plan has other files."""

    split: str
    files: tuple[Path, ...]
    classes: tuple[int, ...]
    square: bool
    folder: Path

    @property
    def path(self) -> Path:
        name = hashlib.sha256(repr((self.square, [str(file) for file in self.files], self.classes)).encode()).hexdigest()
        return self.folder / f"{self.split}-{name[:24]}.safetensors"

    def write(self, pool: ThreadPoolExecutor) -> None:
        """Decode what can be decoded, and write it with the names of what cannot, and how many images were not RGB."""
        found = list(pool.map(self.decoded, self.files))
        kept = [(pixels, label) for (pixels, _), label in zip(found, self.classes, strict=True) if pixels is not None]
        pixels = torch.stack([image for image, _ in kept]) if kept else torch.empty(0, 3, CROP, CROP, dtype=torch.uint8)
        tensors = {"pixels": pixels, "labels": torch.tensor([label for _, label in kept], dtype=torch.int64)}
        modes = Counter(text for image, text in found if image is not None)
        bad = [text for image, text in found if image is None]
        sums = {name: checksum(tensor) for name, tensor in tensors.items()}
        write_tensors(self.path, "shard", tensors, bad=bad, modes=dict(modes), sums=sums)

    def decoded(self, file: Path) -> tuple[Tensor | None, str]:
        """One image, its centre cut out, and the mode it was stored in; or nothing, and the reason."""
        try:
            pixels, mode = decode(file, square=self.square)
        except StudyError as error:
            return None, str(error)
        return center_crop(pixels, [CROP, CROP]), mode


def checksum(tensor: Tensor) -> str:
    """SHA-256 of an array's bytes."""
    return hashlib.sha256(tensor.numpy(force=True).tobytes()).hexdigest()


def prepare(
    raw: Path,
    target: Path,
    *,
    validation: int,
    seed: int,
    trees: Mapping[str, str],
    counts: Mapping[str, int],
    classes: str | None = None,
    square: bool = False,
    unreadable: str = "stop",
) -> tuple[str, ...]:
    """Decode the splits ``train``, ``validation`` and ``test`` into ``target``; returns the names of the classes.

    ``trees`` says where below ``raw`` each split comes from, ``counts`` how many images ``train`` and ``test`` get (0: all that
    are left). Splits of one tree share no image; each has the classes as evenly as can be. ``classes``: a JSON list of (folder,
    name), in the network's order. Work is saved every 500 images, and goes on from there after a kill. A file that cannot be
    decoded is named: ``unreadable`` = stop ends with an error, drop goes on without it.
    """
    known = json.loads((raw / classes).read_text(encoding="utf-8")) if classes else None
    plan = planned(raw, trees, {**counts, "validation": validation}, [folder for folder, _ in known] if known else None, seed)
    folder = target.with_name(f"{target.name}.parts")
    shards = [
        Shard(split, tree.files[start : start + SIZE], tree.classes[start : start + SIZE], square, folder)
        for split, tree in plan.items()
        for start in range(0, len(tree), SIZE)
    ]
    with ThreadPoolExecutor(WORKERS) as pool:
        for shard in processes.jobs(tqdm(shards, desc="decoding, by 500 images")):
            if not shard.path.is_file():
                shard.write(pool)
    if processes.rank() == 0:
        report(shards, unreadable)
        assemble(target, shards)
        shutil.rmtree(folder)
    processes.wait()
    return tuple(name for _, name in known) if known else plan["train"].names


def planned(raw: Path, trees: Mapping[str, str], counts: Mapping[str, int], known: Sequence[str] | None, seed: int) -> dict[str, Listing]:
    """Which images each split gets; :class:`StudyError` where a tree has too few."""
    left: dict[str, Listing] = {}
    plan: dict[str, Listing] = {}
    for split in ("train", "validation", "test"):
        tree = trees[split]
        if tree not in left:
            left[tree] = (found := listing(raw / tree, known)).pick(balanced(found.classes, generator(seed, tree)))
        count = counts[split] or len(left[tree])
        if count > len(left[tree]) or not count:
            raise StudyError(f"{raw / tree}: {count} images asked for as {split}, {len(left[tree])} are left: lower the counts")
        plan[split], left[tree] = left[tree].pick(range(count)), left[tree].pick(range(count, len(left[tree])))
    return plan


def report(shards: Sequence[Shard], unreadable: str) -> None:
    """Say what was converted and what could not be read; :class:`StudyError` for the latter, unless it may be dropped."""
    bad, modes = [], Counter[str]()
    for shard in shards:
        _, metadata = read_tensors(shard.path, "shard")
        bad += metadata["bad"]
        modes.update(metadata["modes"])
    print(f"{sum(modes.values())} images decoded, stored as {dict(sorted(modes.items()))}, kept as RGB; {len(bad)} cannot be decoded")
    for reason in bad:
        print(reason)
    if bad and unreadable != "drop":
        raise StudyError(f"{len(bad)} files cannot be decoded; {bad[0]}: mend them, or set images.options.unreadable to drop")


def assemble(target: Path, shards: Sequence[Shard]) -> None:
    """All shards as one file that :func:`regen_lib.core.images.load_images` maps; one shard at a time is in memory.

    In safetensors' layout, whose writer would want all of it at once: the length of a JSON header, the header with each array's
    type, shape and place, the arrays. What was written is read again, and compared with the shards' checksums.
    """
    order = [(split, name) for split in dict.fromkeys(shard.split for shard in shards) for name in BYTES]
    header, offset = {}, 0
    for split, name in order:
        count = sum(length(shard) for shard in shards if shard.split == split)
        dtype, shape = ("I64", [count]) if name == "labels" else ("U8", [count, 3, CROP, CROP])
        header[f"{split}.{name}"] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + count * BYTES[name]]}
        offset += count * BYTES[name]
    metadata: dict[str, Any] = {"__metadata__": {KEY: json.dumps({"format": FORMAT, "kind": "images"}, sort_keys=True)}}
    text = json.dumps({**metadata, **header}).encode()
    text += b" " * (-len(text) % 8)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    with partial.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for split, name in order:
            for shard in tqdm([shard for shard in shards if shard.split == split], desc=f"writing {split} {name}", leave=False):
                file.write(read_tensors(shard.path, "shard")[0][name].numpy().tobytes())
    verify(partial, shards)
    partial.replace(target)


def length(shard: Shard) -> int:
    """How many images a written shard holds."""
    return len(read_tensors(shard.path, "shard")[0]["labels"])


def verify(path: Path, shards: Sequence[Shard]) -> None:
    """:class:`StudyError` where a part of the file is not what its shard's checksum says."""
    starts: Counter[str] = Counter()
    with safe_open(path, framework="pt") as file:
        for shard in tqdm(shards, desc="checking", leave=False):
            start, stop = starts[shard.split], starts[shard.split] + length(shard)
            for name, expected in read_tensors(shard.path, "shard")[1]["sums"].items():
                if checksum(file.get_slice(f"{shard.split}.{name}")[start:stop]) != expected:
                    raise StudyError(f"{path}: {shard.split}.{name} from {start} is not what was decoded: is the disk full or failing?")
            starts[shard.split] = stop
