"""Faults between the measured tensors and the tables."""

from tests.mutations.mutation import Mutation

CROSS, ATTACKS, WHITE = "tests/test_tables_evaluation.py", "tests/test_tables_attacks.py", "tests/test_tables_white_box.py"
FILTERS, DEFENSES, EXAMPLES = "tests/test_tables_filters.py", "tests/test_tables_defenses.py", "tests/test_tables_examples.py"
RIVALS = "tests/test_rivals.py"
TABLES, SUITE, EVALUATE = "regen_lib/study/tables", "regen_lib/study/tables/suite.py", "regen_lib/evaluation/evaluate.py"

MUTATIONS = (
    Mutation(
        "Table 1 uses one network's bank for all",
        SUITE,
        'rescaled(self.bank(name, "uap"), xi)',
        'rescaled(self.bank(self.names[0], "uap"), xi)',
        (CROSS,),
    ),
    Mutation("Table 1's interval is of restoration", SUITE, '"metric": "accuracy"', '"metric": "restoration"', (CROSS,)),
    Mutation("Table 2 ignores xi", SUITE, "rescaled(self.bank(name, attack), xi)", "self.bank(name, attack)", (CROSS,)),
    Mutation("Table 4 keeps the weaker banks", SUITE, 'bank.threat.xi >= banks["uap"].threat.xi', "bank.threat.xi > 0", (CROSS,)),
    Mutation("the control is not scaled to xi", SUITE, "control.scaled(bank.threat.xi)", "control", (CROSS,)),
    Mutation(
        "the ratio sweep takes the wrong rows",
        SUITE,
        "rows[(units == whole) | (units == 0)]",
        "rows[(units != whole) | (units == 0)]",
        (CROSS,),
    ),
    Mutation("the sweep of units takes every ratio", SUITE, "rows[(ratio == ABLATION_RATIO) | (units == 0)]", "rows[ratio >= 0]", (CROSS,)),
    Mutation(
        "choices are judged by the test bank",
        SUITE,
        '{"tuning": self.bank(name, "tuning")}',
        '{"tuning": self.bank(name, "uap")}',
        (CROSS,),
    ),
    Mutation("clipping compares a setting with itself", SUITE, "clip=not clip", "clip=clip", (CROSS,)),
    Mutation("a bank's table uses defended predictions", SUITE, 'self.clean[name]["undefended"])', 'self.clean[name]["ours"])', (CROSS,)),
    Mutation("evaluation forgets to clip", EVALUATE, "choice, clip=clip)", "choice)", (CROSS,)),
    Mutation("every bank draws alike", EVALUATE, 'generator(seed, "evaluation", name)', 'generator(seed, "evaluation")', (CROSS,)),
    Mutation("a mean over the first attack", EVALUATE, "for name in over], dim=1)", "for name in list(over)[:1]], dim=1)", (CROSS,)),
    Mutation(
        "restoration of the defended network by itself",
        EVALUATE,
        'measure(clean["undefended"] == truth',
        "measure(clean[defense] == truth",
        (CROSS,),
    ),
    Mutation(
        "fooling ratio counts errors",
        EVALUATE,
        "fooling_ratio(clean[:, None], perturbed)",
        "fooling_ratio(truth[:, None], perturbed)",
        (CROSS,),
    ),
    Mutation(
        "the weakest member is the strongest",
        "regen_lib/evaluation/banks.py",
        '"fooling_unseen_min": min(unseen)',
        '"fooling_unseen_min": max(unseen)',
        (CROSS,),
    ),
    Mutation("banks are not scaled to xi", f"{TABLES}/attacks.py", "bank.scaled(xi).perturbations", "bank.perturbations", (ATTACKS,)),
    Mutation("margins of another network", f"{TABLES}/attacks.py", "base.reindex(index).to_numpy()", "base.to_numpy()[: 1]", (ATTACKS,)),
    Mutation(
        "gradients are not spread over passes",
        f"{TABLES}/attacks.py",
        "bank.gradients * (index + 1) / len(bank.history)",
        "bank.gradients * (index + 1)",
        (ATTACKS,),
    ),
    Mutation("equal cost is any cost", f"{TABLES}/attacks.py", "part.gradients <= budget * 1.001", "part.gradients >= 0", (ATTACKS,)),
    Mutation(
        "excitation of nothing",
        f"{TABLES}/attacks.py",
        "x + suite.bank(name, attack).perturbations[:1]",
        "x + 0 * suite.bank(name, attack).perturbations[:1]",
        (ATTACKS,),
    ),
    Mutation("energy neither squared nor a logarithm", f"{TABLES}/attacks.py", ".square().sum(1).log()", ".sum(1)", (ATTACKS,)),
    Mutation(
        "inference cost is inverted",
        f"{TABLES}/costs.py",
        "suite.images.pixels[:TIMED]) / base)",
        "suite.images.pixels[:TIMED]) ** -1 * base)",
        (DEFENSES,),
    ),
    Mutation("a busy moment counts", f"{TABLES}/costs.py", "statistics.median(ratios[defense])", "max(ratios[defense])", (DEFENSES,)),
    Mutation(
        "weights of units are not counted",
        f"{TABLES}/costs.py",
        "for parameter in unit.parameters())",
        "for parameter in unit.conv1.parameters())",
        (DEFENSES,),
    ),
    Mutation(
        "the least fooled image is shown",
        f"{TABLES}/examples.py",
        ".perturbations[:1]) != clean",
        ".perturbations[:1]) == clean",
        (EXAMPLES,),
    ),
    Mutation("a misclassified image is shown", f"{TABLES}/examples.py", "(count * (clean == suite.images.labels))", "count", (EXAMPLES,)),
    Mutation("confidence of the least likely class", f"{TABLES}/examples.py", "float(p.max())", "float(p.min())", (EXAMPLES,)),
    Mutation("Fig. 5 shows the first filter", f"{TABLES}/examples.py", "int(regenerated.unit.channels[0])", "0", (EXAMPLES,)),
    Mutation("Fig. 2's mean noise", f"{TABLES}/filters.py", "noise.amax(0)", "noise.mean(0)", (FILTERS,)),
    Mutation("Fig. 2's filters in their own order", f"{TABLES}/filters.py", "value[order]", "value", (FILTERS,)),
    Mutation(
        "Fig. 2's drawn norms are the trained ones",
        f"{TABLES}/filters.py",
        "filter_norms(find_conv(drawn, layer))",
        "filter_norms(conv)",
        (FILTERS,),
    ),
    Mutation("one random order", f"{TABLES}/masking.py", "DRAWS = 3", "DRAWS = 1", (FILTERS,)),
    Mutation(
        "masked from the other end",
        f"{TABLES}/masking.py",
        "filters[: round(fraction * len(filters))]",
        "filters[round(fraction * len(filters)) :]",
        (FILTERS,),
    ),
    Mutation(
        "what masking restores of everything",
        f"{TABLES}/masking.py",
        "lost = rows.clean - rows.network.map(none)",
        "lost = rows.clean",
        (FILTERS,),
    ),
    Mutation(
        "cosines with signs in Algorithm 1's table", f"{TABLES}/synthesis.py", 'make("diverse", bank', 'make("paper", bank', (FILTERS,)
    ),
    Mutation("the late gain is the whole gain", f"{TABLES}/white_box.py", "history[: (len(history) + 1) // 2]", "history[:1]", (WHITE,)),
    Mutation("the weakest restart counts", f"{TABLES}/white_box.py", "max(banks[a].fooling)", "min(banks[a].fooling)", (WHITE,)),
    Mutation(
        "Table 6 attacks with another defence's bank",
        f"{TABLES}/white_box.py",
        "suite.data / folder / defense / name",
        'suite.data / folder / "undefended" / name',
        (WHITE,),
    ),
    Mutation("passes count from nought", f"{TABLES}/white_box.py", '"passes": index + 1', '"passes": index', (WHITE,)),
    Mutation(
        "targeted success of the class itself",
        f"{TABLES}/home_ground.py",
        "suite.images.labels != towards",
        "suite.images.labels == towards",
        (DEFENSES, RIVALS),
    ),
    Mutation(
        "PGD takes one step", f"{TABLES}/home_ground.py", "PGD_STEPS, PGD_IMAGES = 10, 500", "PGD_STEPS, PGD_IMAGES = 1, 500", (RIVALS,)
    ),
    Mutation("one draw of a random defence", f"{TABLES}/home_ground.py", "DRAWS = 5", "DRAWS = 1", (RIVALS,)),
    Mutation(
        "false alarms are of perturbed images",
        f"{TABLES}/home_ground.py",
        '("false alarms", x)',
        '("false alarms", x + v[choice])',
        (RIVALS,),
    ),
    Mutation(
        "the verdict's best attack", f"{TABLES}/verdict.py", '"worst": ("accuracy", "min")', '"worst": ("accuracy", "max")', (DEFENSES,)
    ),
    Mutation("the verdict's milder attacker", f"{TABLES}/verdict.py", ".accuracy.min()", ".accuracy.max()", (DEFENSES,)),
)
