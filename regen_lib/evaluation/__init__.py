"""Defences against banks of perturbations: Eq. 9, with intervals."""
