"""Networks of a thousand classes, units that have seen images of some: on images of these classes, and of others."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from regen_lib.core.images import Images
from regen_lib.study.tables.suite import Suite


def photographs(
    data: Path,
    names: Sequence[str],
    splits: Mapping[str, Images],
    attacks: Iterable[str],
    variants: Mapping[str, Iterable[str]],
    *,
    images: int,
    seed: int,
) -> pd.DataFrame:
    """Every network, undefended, with its units and with each of its ``variants`` of them, under each attack, on at most ``images``
    images of the splits ``test`` and, where there is one, ``others``.

    Beside the columns of :func:`regen_lib.evaluation.evaluate.evaluate`: the split ``shown``, and the share of predictions that are
    classes of the training images. Units that answer with one of these whatever they are shown have a share that the undefended
    network does not have.
    """
    seen, attacks, parts = splits["train"].labels.unique(), list(attacks), []
    for split in [split for split in ("test", "others") if split in splits]:
        suite = Suite(data, names, splits[split].first(min(images, len(splits[split]))), seed=seed)
        for name in names:
            networks = {**suite.defended[name], **suite.variants(name, variants.get(name, ()))}
            banks = {attack: suite.bank(name, attack) for attack in attacks}
            parts.append(suite.compare("real", name, networks, banks, among=seen).assign(shown=split))
    return pd.concat(parts, ignore_index=True)
