"""Eq. 7: one training loop, for the baseline networks and for every trained defence."""
