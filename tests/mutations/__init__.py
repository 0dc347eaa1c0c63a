"""Faults to be put in one at a time, and the tests that should notice: ``python -m tests.mutate``."""

from tests.mutations import attacks, defenses, evaluation, files, images, parameters, report, tables
from tests.mutations.mutation import Mutation

MODULES = (attacks, defenses, images, evaluation, files, parameters, tables, report)
MUTATIONS: tuple[Mutation, ...] = tuple(mutation for module in MODULES for mutation in module.MUTATIONS)
