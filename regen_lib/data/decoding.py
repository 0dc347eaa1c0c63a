"""Images decoded once into one mapped file of uint8 pixels: in parallel, resumable, each bad file named.

Pixels are written straight to their places in the file that becomes the result; beside it, a note on every 500 images says which
bytes they were made of and what was written. So the work takes the room of its result, and what is taken up after a kill is
what the same bytes would give.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torchvision.transforms.v2.functional import center_crop

from regen_lib.core import processes
from regen_lib.core.errors import StudyError
from regen_lib.core.progress import tqdm
from regen_lib.core.replacing import replace_bytes, writing
from regen_lib.core.storage import KEY, seal, unsealed
from regen_lib.data.image_file import WORKERS, Form, UndecodableError, pixels, read
from regen_lib.data.image_folder import ImageFolder
from regen_lib.data.listing import Listing

SIZE = 500  # images decoded between two notes
BLOCK = 4096  # bytes: the header takes a multiple


@dataclass(frozen=True)
class Part:
    """Some images of a split: the ``place`` of the first of them in ``file``, and the ``note`` on them once they are there."""

    split: str
    found: Listing
    form: Form
    place: int
    begin: int  # of the first image in ``file``, in bytes
    file: Path
    note: Path

    def known(self) -> dict[str, Any]:
        """The note; :class:`StudyError` for one that is not whole."""
        try:
            kept = json.loads(self.note.read_bytes())
            note: dict[str, Any] = json.loads(kept["note"])
            whole = digest(kept["note"].encode()) == kept["sha256"]
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            whole = False
        if not whole:
            raise StudyError(f"{self.note} is damaged: run it again, its images are decoded anew")
        return note

    def whole(self) -> bool:
        """Whether the file has what the note says."""
        note = self.known()
        return digest(self.stored(note)) == note["pixels"]

    def finished(self, pool: ThreadPoolExecutor) -> bool:
        """Whether this part was written already, from the bytes that the images have now."""
        try:
            made_of = self.known()["made_of"]
        except StudyError:
            return False
        return made_of == digest(*pool.map(source_hash, self.found.files)) and self.whole()

    def stored(self, note: Mapping[str, Any]) -> bytes:
        """The pixels that the note is on."""
        with self.file.open("rb") as file:
            file.seek(self.begin + note["place"] * self.form.bytes)
            return file.read(len(note["labels"]) * self.form.bytes)

    def write(self, pool: ThreadPoolExecutor) -> None:
        """Decode what can be decoded, and write it; the note has its labels, the names of what cannot, and how images were stored."""
        found = list(pool.map(self.decoded, self.found.files))
        kept = [index for index, (image, _, _) in enumerate(found) if image is not None]
        data = b"".join(image.numpy(force=True).tobytes() for image, _, _ in found if image is not None)
        note = {
            "made_of": digest(*(source for _, _, source in found)),
            "labels": [self.found.classes[index] for index in kept],
            "modes": Counter(text for image, text, _ in found if image is not None),
            "bad": [text for image, text, _ in found if image is None],
        }
        self.store(note, self.place, data)

    def decoded(self, file: Path) -> tuple[Tensor | None, str, bytes]:
        """One image, its centre cut out, and the mode it was stored in; or nothing, and the reason. Last, a hash of the file."""
        source = b""
        try:
            source = hashlib.sha256(data := read(file)).digest()
            image, mode = pixels(data, file, self.form)
        except UndecodableError as error:
            return None, str(error), source
        return center_crop(image, [self.form.crop, self.form.crop]), mode, source

    def store(self, note: Mapping[str, Any], place: int, data: bytes) -> None:
        """Write pixels to a place, then the note on them."""
        with self.file.open("r+b") as file:
            file.seek(self.begin + place * self.form.bytes)
            file.write(data)
        text = json.dumps({**note, "place": place, "pixels": digest(data)})
        replace_bytes(self.note, json.dumps({"note": text, "sha256": digest(text.encode())}).encode())


def source_hash(file: Path) -> bytes:
    """SHA-256 of a file, nothing for one that cannot be read."""
    try:
        return hashlib.sha256(read(file)).digest()
    except UndecodableError:
        return b""


def digest(*data: bytes) -> str:
    """SHA-256 of pieces, with their lengths."""
    whole = hashlib.sha256()
    for piece in data:
        whole.update(len(piece).to_bytes(8, "little") + piece)
    return whole.hexdigest()


def prepare(raw: Path, target: Path, *, validation: int, seed: int, **options: Any) -> tuple[str, ...]:
    """Decode the splits ``train``, ``validation``, ``test`` and perhaps ``others`` into ``target``; returns the names of the classes.

    ``options`` are those of :class:`regen_lib.data.image_folder.ImageFolder`, and ``side``, ``crop``, ``square``, ``rotate`` of
    :class:`regen_lib.data.image_file.Form`. Work is saved every 500 images, and goes on from there after a kill.
    :class:`StudyError` where the disk has too little room.
    """
    source = ImageFolder.of(raw, validation, seed, options)
    plan = source.plan()
    classes = source.class_names(plan["train"])
    metadata = unsealed("images", source=source.record(), stream=plan.pop("stream").hash(), classes=list(classes))
    begin = -(-len(header(metadata, {split: len(found) for split, found in plan.items()}, source.form)) // BLOCK) * BLOCK
    folder = target.with_name(f"{target.name}.parts")
    parts = divided(plan, source.form, begin, folder)
    with writing(target):
        if processes.rank() == 0:
            make_room(folder, parts, begin + sum(len(found) for found in plan.values()) * (source.form.bytes + 8))
        processes.wait()
        with ThreadPoolExecutor(WORKERS) as pool:
            for part in processes.jobs(tqdm(parts, desc="decoding, by 500 images")):
                if not part.finished(pool):
                    part.write(pool)
        if processes.rank() == 0:
            report(parts, source.unreadable)
            settle(parts)
            assemble(target, parts, metadata, begin)
            shutil.rmtree(folder)
    processes.wait()
    return classes


def divided(plan: Mapping[str, Listing], form: Form, begin: int, folder: Path) -> list[Part]:
    """The images of all splits in parts; their files are named by what they hold, so that another plan has others."""
    parts: list[Part] = []
    name = digest(repr((form, begin, SIZE)).encode(), *(found.hash().encode() for found in plan.values()))[:16]
    place = 0
    for split, found in plan.items():
        for start in range(0, len(found), SIZE):
            some = found.pick(range(start, min(start + SIZE, len(found))))
            parts.append(Part(split, some, form, place, begin, folder / f"{name}.pixels", folder / f"{name}-{len(parts):05d}.json"))
            place += len(some)
    return parts


def make_room(folder: Path, parts: Sequence[Part], size: int) -> None:
    """Make the file that pixels go to; what another plan has left is removed. :class:`StudyError` where ``size`` bytes do not fit."""
    folder.mkdir(parents=True, exist_ok=True)
    file = parts[0].file
    ours = {part.note for part in parts} | {file} if file.is_file() else set()
    for path in folder.iterdir():
        if path not in ours:
            path.unlink()
    file.touch()
    needed, free = size - file.stat().st_blocks * 512, shutil.disk_usage(folder).free
    if needed > free:
        wish = f"{folder.parent}: the decoded images need {needed / 1e9:.3f} GB, {free / 1e9:.3f} GB are free"
        raise StudyError(f"{wish}: make room, or lower images.options.counts and images.validation")


def report(parts: Sequence[Part], unreadable: str) -> None:
    """Say what was converted and what could not be read; :class:`StudyError` for the latter, unless it may be dropped and leaves of
    every split something."""
    bad, modes, kept = [], Counter[str](), Counter[str]()
    for part in parts:
        note = part.known()
        bad += note["bad"]
        modes.update(note["modes"])
        kept[part.split] += len(note["labels"])
    print(f"{kept.total()} images decoded, stored as {dict(sorted(modes.items()))}, kept as RGB; {len(bad)} cannot be decoded")
    for reason in bad:
        print(reason)
    if bad and unreadable != "drop":
        raise StudyError(f"{len(bad)} files cannot be decoded; {bad[0]}: mend them, or set images.options.unreadable to drop")
    if empty := [split for split, count in kept.items() if not count]:
        raise StudyError(f"no image of {', '.join(empty)} can be decoded; {bad[0]}: is it the right folder, and was it downloaded whole?")


def settle(parts: Sequence[Part]) -> None:
    """Close the gaps that images which cannot be decoded have left. A kill here costs the part that is being moved."""
    place = 0
    for part in parts:
        note = part.known()
        if note["place"] != place:
            part.store(note, place, part.stored(note))
        place += len(note["labels"])


def header(metadata: str, counts: Mapping[str, int], form: Form) -> bytes:
    """What a safetensors file begins with: the length of a JSON text, the text with each array's type, shape and place.

    The pixels of all splits come first, then all labels. safetensors' own writer would want all of it in memory.
    """
    text: dict[str, Any] = {"__metadata__": {KEY: metadata}}
    offset = 0
    for name, dtype, size, shape in (("pixels", "U8", form.bytes, [3, form.crop, form.crop]), ("labels", "I64", 8, [])):
        for split, count in counts.items():
            text[f"{split}.{name}"] = {"dtype": dtype, "shape": [count, *shape], "data_offsets": [offset, offset + count * size]}
            offset += count * size
    data = json.dumps(text).encode()
    return len(data).to_bytes(8, "little") + data


def assemble(target: Path, parts: Sequence[Part], metadata: str, begin: int) -> None:
    """Put labels behind the pixels and the header before them, and rename the file to ``target``.

    What was written is read again: :class:`StudyError` where it is not what was decoded.
    """
    for part in tqdm(parts, desc="checking", leave=False):
        if not part.whole():
            part.note.unlink()
            raise StudyError(f"{part.file}: images from {part.place} are not what was decoded: is the disk full or failing? Run it again")
    labels = {
        split: [label for part in parts if part.split == split for label in part.known()["labels"]]
        for split in dict.fromkeys(part.split for part in parts)
    }
    form = parts[0].form
    with parts[0].file.open("r+b") as file:
        write_ends(file, header(metadata, {split: len(found) for split, found in labels.items()}, form), labels, begin, form)
        seal(file)
    parts[0].file.replace(target)


def write_ends(file: BufferedRandom, head: bytes, labels: Mapping[str, Sequence[int]], begin: int, form: Form) -> None:
    """The header, padded with spaces to ``begin`` bytes, and the labels, int64, where the pixels end."""
    length = begin - 8
    file.write(length.to_bytes(8, "little") + head[8:].ljust(length))
    flat = [label for found in labels.values() for label in found]
    file.seek(begin + len(flat) * form.bytes)
    file.write(np.array(flat, "<i8").tobytes())
    file.truncate()
