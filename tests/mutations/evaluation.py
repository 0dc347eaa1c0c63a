"""Faults in the evaluation loop and in the paper's own tables."""

from tests.mutations.mutation import Mutation

CROSS = "tests/test_tables_evaluation.py"
SUITE, EVALUATE = "regen_lib/study/tables/suite.py", "regen_lib/evaluation/evaluate.py"

MUTATIONS = (
    Mutation(
        "the span of the training bank lacks a member",
        "regen_lib/evaluation/banks.py",
        "torch.linalg.qr(known.T)",
        "torch.linalg.qr(known[1:].T)",
        (f"{CROSS}::test_the_table_of_banks_by_hand",),
    ),
    Mutation(
        "a perturbation opposite to a training one is far from it",
        "regen_lib/evaluation/banks.py",
        "(flat @ known.T).abs()",
        "(flat @ known.T)",
        (f"{CROSS}::test_the_table_of_banks_by_hand",),
    ),
    Mutation(
        "the l2 norm of a bank is its largest member's",
        "regen_lib/evaluation/banks.py",
        "norm(dim=1).mean()",
        "norm(dim=1).max()",
        (f"{CROSS}::test_a_bank_of_unequal_members_has_their_mean_l2_norm",),
    ),
    Mutation(
        "Table 1 uses one network's bank for all",
        SUITE,
        'rescaled(self.bank(name, "uap"), xi)',
        'rescaled(self.bank(self.names[0], "uap"), xi)',
        (f"{CROSS}::test_table_1_crosses_every_network_with_every_networks_uaps",),
    ),
    Mutation(
        "Table 1's interval is of restoration",
        SUITE,
        '"metric": "accuracy"',
        '"metric": "restoration"',
        (f"{CROSS}::test_table_1_crosses_every_network_with_every_networks_uaps",),
    ),
    Mutation(
        "Table 2 ignores xi",
        SUITE,
        "rescaled(self.bank(name, attack), xi)",
        "self.bank(name, attack)",
        (f"{CROSS}::test_xi_and_clip_reach_table_2",),
    ),
    Mutation(
        "Table 4 keeps the weaker banks",
        SUITE,
        'bank.threat.xi >= banks["uap"].threat.xi',
        "bank.threat.xi > 0",
        (f"{CROSS}::test_table_4_grows_with_xi_from_the_trained_one",),
    ),
    Mutation(
        "the control is not scaled to xi",
        SUITE,
        "control.scaled(bank.threat.xi)",
        "control",
        (f"{CROSS}::test_fooling_against_xi_has_the_control_at_the_same_xi",),
    ),
    Mutation(
        "the ratio sweep takes the wrong rows",
        SUITE,
        "rows[(units == whole) | (units == 0)]",
        "rows[(units != whole) | (units == 0)]",
        (f"{CROSS}::test_the_ablation_sorts_variants_into_two_sweeps",),
    ),
    Mutation(
        "the sweep of units takes every ratio",
        SUITE,
        "rows[(ratio == ABLATION_RATIO) | (units == 0)]",
        "rows[ratio >= 0]",
        (f"{CROSS}::test_the_ablation_sorts_variants_into_two_sweeps",),
    ),
    Mutation(
        "choices are judged by the test bank",
        SUITE,
        '{"tuning": self.bank(name, "tuning")}',
        '{"tuning": self.bank(name, "uap")}',
        (f"{CROSS}::test_choices_are_judged_by_the_tuning_bank",),
    ),
    Mutation(
        "clipping compares a setting with itself",
        SUITE,
        "clip=not clip",
        "clip=clip",
        (f"{CROSS}::test_clipping_stands_beside_its_opposite",),
    ),
    Mutation(
        "a bank's table uses defended predictions",
        SUITE,
        'self.clean[name]["undefended"])',
        'self.clean[name]["ours"])',
        (f"{CROSS}::test_the_table_of_banks_by_hand",),
    ),
    Mutation(
        "evaluation forgets to clip",
        EVALUATE,
        "choices[name], clip=clip)",
        "choices[name])",
        (f"{CROSS}::test_clipping_stands_beside_its_opposite",),
    ),
    Mutation(
        "every bank draws alike",
        EVALUATE,
        'generator(seed, "evaluation", name)',
        'generator(seed, "evaluation")',
        (f"{CROSS}::test_tables_2_and_3_put_every_network_under_its_own_banks",),
    ),
    Mutation(
        "a mean over the first attack",
        EVALUATE,
        "for name in over], dim=1)",
        "for name in list(over)[:1]], dim=1)",
        (f"{CROSS}::test_table_5s_mean_is_over_the_attacks_listed",),
    ),
    Mutation(
        "restoration of the defended network by itself",
        EVALUATE,
        'measure(clean["undefended"] == truth',
        "measure(clean[defense] == truth",
        (f"{CROSS}::test_tables_2_and_3_put_every_network_under_its_own_banks",),
    ),
    Mutation(
        "fooling ratio counts errors",
        EVALUATE,
        "fooling_ratio(clean[:, None], perturbed)",
        "fooling_ratio(truth[:, None], perturbed)",
        (f"{CROSS}::test_a_fooling_ratio_counts_changed_classes_not_errors",),
    ),
    Mutation(
        "the weakest member is the strongest",
        "regen_lib/evaluation/banks.py",
        '"fooling_unseen_min": min(unseen)',
        '"fooling_unseen_min": max(unseen)',
        (f"{CROSS}::test_the_table_of_banks_by_hand",),
    ),
)
