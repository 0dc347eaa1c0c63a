"""The options with which every attack is quick on a few small images: an attack that is not named takes those of its signature."""

from typing import Any

from regen_lib.attacks import ATTACKS

SMALL: dict[str, dict[str, Any]] = {
    "uap": {"passes": 1, "batch": 4},
    "spgd": {"passes": 3, "batch": 4},
    "sga": {"passes": 3, "batch": 4, "inner": 2, "repeats": 1},
    "fff": {"steps": 4, "check": 2},
    "gd_uap": {"steps": 4, "check": 2, "batch": 4},
    "gap": {"passes": 1, "batch": 4},
    "nag": {"passes": 1, "batch": 4},
    "singular_fool": {"iterations": 2, "batch": 4},
    "random_signs": {},
}
OPTIONS = {name: SMALL.get(name, {}) for name in ATTACKS}
