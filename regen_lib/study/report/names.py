"""How the report calls networks, attacks and defences: as all tables do, and what only some studies have."""

from regen_lib.study.titles import ATTACK_TITLES as KNOWN
from regen_lib.study.titles import DEFENSE_TITLES, TITLES, Titles

ATTACK_TITLES = Titles({**KNOWN, "gd_uap": "G-UAP", "deepfool": "UAP by DeepFool"})  # the last where a study's own UAPs are made otherwise

__all__ = ["ATTACK_TITLES", "DEFENSE_TITLES", "TITLES"]
