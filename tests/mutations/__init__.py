"""Faults to be put in one at a time, and the tests that should notice: ``python -m tests.mutate``."""

from tests.mutations import attacks, defenses, evaluation, images, report, tables
from tests.mutations.mutation import Mutation

MUTATIONS: tuple[Mutation, ...] = (
    *attacks.MUTATIONS,
    *defenses.MUTATIONS,
    *images.MUTATIONS,
    *evaluation.MUTATIONS,
    *tables.MUTATIONS,
    *report.MUTATIONS,
)
