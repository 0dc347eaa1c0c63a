"""Selective feature regeneration (Borkar, Heide, Karam, CVPR 2020): the library behind the notebooks."""
