"""Universal adversarial perturbations, and the defence by selective feature regeneration (Borkar, Heide, Karam, CVPR 2020).

A network takes pixels of 0-255 as float32 ``[N, C, H, W]``, normalises them itself and gives logits ``[N, classes]``;
:func:`from_pixels` makes one of a model that wants them normalised. Images are uint8 in 0-255 with int64 labels, :class:`Images`.

- attacks (:data:`ATTACKS`): each gives a :class:`Bank` of perturbations under a :class:`Threat`;
- the method: :func:`filter_norms` and :func:`rank` (Eq. 2), :func:`masked_predictions`, :func:`walk` and :func:`synthesize`
  (Algorithm 1), :func:`regenerate` (Eq. 6), :func:`calibrate`, :func:`units`, :func:`fit` (Eq. 7, as a :class:`Recipe` says), and
  :func:`train_units`, which goes from a bank to a defended network;
- the defences compared (:data:`RIVALS`): :func:`defend`;
- measuring: :func:`predict`, :func:`evaluate` (Eq. 1 and 9);
- files: :func:`save_bank`, :func:`load_bank`, :func:`save_units`, :func:`load_units`, :func:`save_defense`, :func:`load_defense`;
  of the built-in families (:data:`NETWORKS`) :func:`save_network` and :func:`load_network`;
- :func:`start`: a GPU where there is one, the threads, and the same bytes on every run. :class:`StudyError`: what all of it raises;
  :class:`StudyWarning`: what came out usable but not as asked for.

Names are imported when they are first used, so that ``import regen_lib`` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from regen_lib.core.registry import found_in

if TYPE_CHECKING:
    from regen_lib.attacks import ATTACKS
    from regen_lib.attacks.fff import fff as fff
    from regen_lib.attacks.gap import gap as gap
    from regen_lib.attacks.gd_uap import gd_uap as gd_uap
    from regen_lib.attacks.nag import nag as nag
    from regen_lib.attacks.random_signs import random_signs as random_signs
    from regen_lib.attacks.sga import sga as sga
    from regen_lib.attacks.singular_fool import singular_fool as singular_fool
    from regen_lib.attacks.spgd import spgd as spgd
    from regen_lib.attacks.uap import uap as uap
    from regen_lib.core.errors import StudyError, StudyWarning
    from regen_lib.core.images import Images
    from regen_lib.core.inference import predict
    from regen_lib.core.perturbations import Bank, Threat, load_bank, save_bank
    from regen_lib.core.runtime import start
    from regen_lib.defenses import RIVALS, defend
    from regen_lib.defenses._shared.files import load_defense, save_defense
    from regen_lib.evaluation.compare import evaluate
    from regen_lib.networks import NETWORKS, load_network, save_network
    from regen_lib.networks.pixels import from_pixels
    from regen_lib.regeneration.calibration import calibrate
    from regen_lib.regeneration.files import load_units, save_units
    from regen_lib.regeneration.masking import masked_predictions
    from regen_lib.regeneration.ranking import filter_norms, rank
    from regen_lib.regeneration.synthesis import synthesize, walk
    from regen_lib.regeneration.unit import regenerate, units
    from regen_lib.training.loop import fit
    from regen_lib.training.recipe import Recipe
    from regen_lib.training.units import train_units

    __version__: str

__all__ = [
    "ATTACKS",
    "NETWORKS",
    "RIVALS",
    "Bank",
    "Images",
    "Recipe",
    "StudyError",
    "StudyWarning",
    "Threat",
    "__version__",
    "calibrate",
    "defend",
    "evaluate",
    "filter_norms",
    "fit",
    "from_pixels",
    "load_bank",
    "load_defense",
    "load_network",
    "load_units",
    "masked_predictions",
    "predict",
    "rank",
    "regenerate",
    "save_bank",
    "save_defense",
    "save_network",
    "save_units",
    "start",
    "synthesize",
    "train_units",
    "units",
    "walk",
]
_ATTACKS = found_in("attacks")  # a new one is its file; type checkers, which run nothing, want its line above too
__all__ += _ATTACKS
__doc__ = (__doc__ or "").replace("(:data:`ATTACKS`):", f"(:data:`ATTACKS`) {', '.join(f':func:`{name}`' for name in _ATTACKS)}:\n ")

_HOMES = {
    **{f"regen_lib.attacks.{name}": (name,) for name in _ATTACKS},
    "regen_lib.attacks": ("ATTACKS",),
    "regen_lib.core.errors": ("StudyError", "StudyWarning"),
    "regen_lib.core.images": ("Images",),
    "regen_lib.core.inference": ("predict",),
    "regen_lib.core.perturbations": ("Bank", "Threat", "load_bank", "save_bank"),
    "regen_lib.core.runtime": ("start",),
    "regen_lib.defenses": ("RIVALS", "defend"),
    "regen_lib.defenses._shared.files": ("load_defense", "save_defense"),
    "regen_lib.evaluation.compare": ("evaluate",),
    "regen_lib.networks": ("NETWORKS", "load_network", "save_network"),
    "regen_lib.networks.pixels": ("from_pixels",),
    "regen_lib.regeneration.calibration": ("calibrate",),
    "regen_lib.regeneration.files": ("load_units", "save_units"),
    "regen_lib.regeneration.masking": ("masked_predictions",),
    "regen_lib.regeneration.ranking": ("filter_norms", "rank"),
    "regen_lib.regeneration.synthesis": ("synthesize", "walk"),
    "regen_lib.regeneration.unit": ("regenerate", "units"),
    "regen_lib.training.loop": ("fit",),
    "regen_lib.training.recipe": ("Recipe",),
    "regen_lib.training.units": ("train_units",),
}


if not TYPE_CHECKING:  # a checker that saw this would take any name

    def __getattr__(name: str) -> Any:
        """A public name on first use; from then on it lies here."""
        if name == "__version__":
            value: Any = _version()
        else:
            home = next((home for home, names in _HOMES.items() if name in names), None)
            if home is None:
                raise AttributeError(f"module 'regen_lib' has no attribute {name!r}: choose from {', '.join(__all__)}")
            value = getattr(import_module(home), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__} - {"Any", "TYPE_CHECKING", "found_in", "import_module"})


def _version() -> str:
    """The installed version; that of a folder of sources is not known."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("regen_lib")
    except PackageNotFoundError:
        return "0+unknown"
