"""Faults in what the check says of params.yaml."""

from tests.mutations.mutation import Mutation

REFERENCES, POSSIBLE = "regen_lib/study/references.py", "regen_lib/study/possible.py"
SAID = ("tests/test_params_faults.py::test_what_tables_could_not_show_is_said",)
HARMLESS = ("tests/test_params_faults.py::test_what_is_no_mistake_passes",)

MUTATIONS = (
    Mutation("a padding may be as large as the image", POSSIBLE, "value >= side", "value > side", SAID),
    Mutation("units are counted that have no place", REFERENCES, "max(map(len, layers))", "9", SAID),
    Mutation(
        "banks of the attack that defences met count as unseen", REFERENCES, "name in (*MET, CONTROL) and name in rows", "False", SAID
    ),
    Mutation(
        "banks that begin where another ends share images",
        REFERENCES,
        'bank["start"] < other["start"] + other["images"]',
        'bank["start"] <= other["start"] + other["images"]',
        HARMLESS,
    ),
    Mutation(
        "a bank may be made from the last images that units learn from", REFERENCES, "if overlap(row, source)", "if row is source", SAID
    ),
    Mutation(
        "a layer that is shown is asked for before all layers are known",
        POSSIBLE,
        "if not any(wrong.values()):",
        "if True:",
        ("tests/test_params_sizes.py::test_a_layer_that_is_spelled_wrongly_is_the_mistake",),
    ),
    Mutation(
        "options may say anything for truth",
        "regen_lib/attacks/__init__.py",
        "if not isinstance(truth, bool) or",
        "if",
        ("tests/test_attacks.py::test_make_names_an_option_that_the_attack_does_not_take",),
    ),
    Mutation("a table may lack what it is measured from", REFERENCES, "for name in needed if name not in names", "for name in ()", SAID),
)
