"""Where the images come from: the one place that knows every source."""

from pathlib import Path
from typing import Any

from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images, load_images, save_images
from regen_lib.data import cifar10, decoding, fashion_mnist
from regen_lib.data.raw import check_raw
from regen_lib.data.stream import Streamed, streamed

PUBLISHED = {"fashion_mnist": fashion_mnist, "cifar10": cifar10}
SOURCES = (*PUBLISHED, "image_folder")


def fetch(source: str, raw: Path) -> None:
    """Bring the published files of a source into ``raw``. A folder of images is the user's: it is only looked for.

    :class:`StudyError` for an unknown source, a damaged file, or a folder that is not there or has what DVC cannot follow.
    """
    if source in PUBLISHED:
        PUBLISHED[source].fetch(raw)
    elif source not in SOURCES:
        raise StudyError(f"images.source {source!r} is unknown: choose one of {', '.join(SOURCES)}")
    elif not raw.is_dir():
        raise StudyError(f"{raw} is missing: put the images there, or a link to them (images.raw in params.yaml)")
    check_raw(raw)


def prepare(source: str, raw: Path, target: Path, *, validation: int, seed: int, **options: Any) -> tuple[str, ...]:
    """Write the splits of a source of images to ``target``; returns the names of the classes.

    A published source is fetched into ``raw`` where it is not there; ``image_folder`` takes trees of JPEGs below ``raw``, with the
    options of :func:`regen_lib.data.decoding.prepare`. :class:`StudyError` for an unknown source, and for options that it does not take.
    """
    if source in PUBLISHED:
        published = PUBLISHED[source]
        if options:
            raise StudyError(f"images.options has {', '.join(options)}: {source} takes no options, set it to {{}}")
        published.fetch(raw)
        names: tuple[str, ...] = published.CLASSES
        save_images(target, published.read(raw, validation, seed), names)
        return names
    if source == "image_folder":
        return decoding.prepare(raw, target, validation=validation, seed=seed, **options)
    raise StudyError(f"images.source {source!r} is unknown: choose one of {', '.join(SOURCES)}")


def training_images(path: Path, stream: bool) -> Images | Streamed:
    """What to train on: the split ``train`` of ``path``, or, as a stream, all images of the folder that it was decoded from but those
    of the other splits."""
    return streamed(path) if stream else load_images(path)["train"]
