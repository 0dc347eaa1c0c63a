"""Where the images come from: the one place that knows every source."""

from pathlib import Path
from typing import Any

from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images, load_images, save_images
from regen_lib.data import cifar10, decoding, fashion_mnist
from regen_lib.data.image_folder import Streamed

PUBLISHED = {"fashion_mnist": fashion_mnist, "cifar10": cifar10}
SOURCES = (*PUBLISHED, "image_folder")


def fetch(source: str, raw: Path) -> None:
    """Bring the published files of a source into ``raw``. A folder of images is the user's: it is only looked for.

    :class:`StudyError` for an unknown source, a damaged file, or a folder that is not there.
    """
    if source in PUBLISHED:
        PUBLISHED[source].fetch(raw)
    elif source not in SOURCES:
        raise StudyError(f"images.source {source!r} is unknown: choose one of {', '.join(SOURCES)}")
    elif not raw.is_dir():
        raise StudyError(f"{raw} is missing: put the images there, or a link to them (images.raw in params.yaml)")


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
        save_images(target, published.read(raw, validation, seed))
        names: tuple[str, ...] = published.CLASSES
        return names
    if source == "image_folder":
        return decoding.prepare(raw, target, validation=validation, seed=seed, **options)
    raise StudyError(f"images.source {source!r} is unknown: choose one of {', '.join(SOURCES)}")


def training_images(path: Path, stream: str | None) -> Images | Streamed:
    """What to train on: the split ``train`` of ``path``, or a folder of JPEGs, decoded as training goes."""
    return load_images(path)["train"] if stream is None else Streamed(Path(stream))
