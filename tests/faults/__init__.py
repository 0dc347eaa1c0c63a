"""Faults on purpose: what users, disks and signals do to the study, tried by the hundred; ``python -m tests.faults``."""
