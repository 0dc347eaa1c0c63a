"""Networks of your own, side by side: top-1, restoration (Eq. 9) with its interval, and fooling ratio (Eq. 1)."""

from collections.abc import Mapping

import pandas as pd
from torch import nn

from regen_lib.core import options
from regen_lib.core.errors import StudyError
from regen_lib.core.images import Images
from regen_lib.core.inference import predict
from regen_lib.core.perturbations import Bank
from regen_lib.core.seeding import whole
from regen_lib.evaluation import evaluate as loop

BASELINE = "undefended"
COLUMNS = (
    *("network", "attack", "norm", "xi", "images", "clean_accuracy", "accuracy"),
    *("restoration", "ci_low", "ci_high", "fooling_ratio"),
)


def evaluate(
    networks: Mapping[str, nn.Module], images: Images, banks: Mapping[str, Bank], *, clip: bool = False, seed: int = 0
) -> pd.DataFrame:
    """One row for each of ``networks`` and ``banks``, both by the names that the table gives them.

    The columns: ``network``, ``attack``, its ``norm`` and ``xi`` (pixels), the number of ``images``, top-1 on them as they are
    (``clean_accuracy``) and perturbed (``accuracy``), ``restoration`` (Eq. 9) with its 95 % interval ``ci_low`` to ``ci_high``, and
    ``fooling_ratio`` (Eq. 1). The denominator of Eq. 9 is the network called ``undefended``. Every image carries one perturbation of
    a bank, drawn uniformly, the same for all networks, and is not clipped unless ``clip`` says so. :class:`StudyError` where no network is
    called ``undefended``, where it classifies no image correctly, and where there is nothing to evaluate.
    """
    seed = whole(seed)
    options.check(evaluate, {"clip": clip})
    wrong = [kind.__name__ for kind, given in ((Mapping, networks), (Images, images), (Mapping, banks)) if not isinstance(given, kind)]
    wrong += [f"Bank under {name!r}" for name, bank in banks.items() if not isinstance(bank, Bank)] if not wrong else []
    if wrong:
        raise StudyError(f"evaluate was given no {wrong[0]}: give networks and banks by name, {{name: network}}, Images and {{name: Bank}}")
    if BASELINE not in networks:
        raise StudyError(f"networks has {', '.join(networks) or 'nothing'} and no {BASELINE!r}: Eq. 9 compares with the network as it was")
    if not banks or not len(images):
        raise StudyError(f"{len(banks)} banks on {len(images)} images: give at least one of each")
    clean = {name: predict(network, images.pixels) for name, network in networks.items()}
    family = next(iter(banks.values())).network
    table = loop.evaluate("of evaluation", family, networks, clean, banks, images, seed=seed, clip=clip)
    return table.drop(columns="network").rename(columns={"defense": "network"})[list(COLUMNS)]
