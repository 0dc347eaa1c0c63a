"""Faults between the tables and the README."""

from tests.mutations.mutation import Mutation

CLAIMS, BLOCKS, VERDICT, PAPER = "tests/test_claims.py", "tests/test_readme_blocks.py", "tests/test_verdict.py", "tests/test_paper.py"
RIVALS = "tests/test_rivals.py"
MINUTES, SHEETS = "tests/test_minutes.py::test_the_readmes_minutes_with_and_without_the_rivals", "tests/test_sheets.py"
FIGURES, MAP = "tests/test_figures.py", "tests/test_rivals.py::test_the_summary_figure_shows_every_defence_of_every_network_where_it_stands"
REPORT, PLOTS = "regen_lib/study/report", "regen_lib/study/figures"
OUTPUTS, TAKEN = "regen_lib/study/outputs.py", ("tests/test_outputs.py",)

SIX = "tests/test_verdicts.py"
MUTATIONS = (
    Mutation(
        "half of the lost top-1 is all of it", f"{REPORT}/verdicts.py", "HOLDS, PARTLY = 0.9, 0.5", "HOLDS, PARTLY = 0.5, 0.5", (SIX,)
    ),
    Mutation("the verdict on random halves", f"{REPORT}/verdicts.py", 'grade(half["ranked"])', 'grade(half["random"])', (SIX,)),
    Mutation("the share of what was there", f"{REPORT}/verdicts.py", "lost = clean - top1.undefended", "lost = clean", (SIX,)),
    Mutation(
        "units before hardening in the white box", f"{REPORT}/verdicts.py", 'returned(worst, "hardened")', 'returned(worst, "ours")', (SIX,)
    ),
    Mutation("the weaker attacker counts", f"{REPORT}/verdicts.py", '"clean_accuracy"]].min()', '"clean_accuracy"]].max()', (SIX,)),
    Mutation("one first place is two", f"{REPORT}/verdicts.py", "if max(places) == 1", "if min(places) == 1", (SIX,)),
    Mutation(
        "means over some networks stand beside means over all",
        f"{REPORT}/defenses_table.py",
        'on_every_network(tables["defenses"])',
        'tables["defenses"]',
        (RIVALS,),
    ),
    Mutation("hardened units are another defence", f"{REPORT}/defenses_table.py", '["undefended", "hardened"]', '["undefended"]', (SIX,)),
    Mutation(
        "the README's UAPs are random signs",
        f"{REPORT}/readme.py",
        '"UAP": ("table2", "uap")',
        '"UAP": ("table2", "random_signs")',
        (BLOCKS,),
    ),
    Mutation(
        "the README's clean top-1 is the other one's",
        f"{REPORT}/readme.py",
        "{percent(after.clean_accuracy)}",
        "{percent(before.clean_accuracy)}",
        (BLOCKS,),
    ),
    Mutation("the README's interval has one end", f"{REPORT}/readme.py", "-{ours.ci_high:.3f}", "-{ours.ci_low:.3f}", (BLOCKS,)),
    Mutation("the README's percents of ten", f"{REPORT}/readme.py", "{100 * value:.1f}", "{10 * value:.1f}", (BLOCKS,)),
    Mutation("minutes of a hundred seconds", f"{REPORT}/costs.py", "stages.sum() / 60, stages", "stages.sum() / 100, stages", (MINUTES,)),
    Mutation("our minutes are the rivals'", f"{REPORT}/costs.py", "~stages.index.isin(RIVALRY)", "stages.index.isin(RIVALRY)", (MINUTES,)),
    Mutation("intervals of a mean add up", "regen_lib/study/tables/verdict.py", "np.sqrt((half**2).sum())", "half.sum()", (RIVALS,)),
    Mutation(
        "another norm counts among the attacks", f"{REPORT}/defenses_table.py", 'MET = ("uap", "uap_l2")', 'MET = ("uap",)', (RIVALS,)
    ),
    Mutation("own UAPs are another attack", f"{REPORT}/defenses_table.py", 'table.attack == "uap"', 'table.attack == "fff"', (RIVALS,)),
    Mutation("the worst lead", f"{REPORT}/defenses_table.py", "sort_values(ascending=False)", "sort_values()", (VERDICT,)),
    Mutation("our place is one too low", f"{REPORT}/defenses_table.py", '.index("ours") + 1', '.index("ours") + 2', (VERDICT,)),
    Mutation("the undefended network takes part", f"{REPORT}/defenses_table.py", '["undefended", "hardened"]', '["hardened"]', (VERDICT,)),
    Mutation("PRN+det's rectifier costs nothing", f"{REPORT}/defenses_table.py", "built.get(defense, defense)", "defense", (VERDICT,)),
    Mutation(
        "training of all networks together",
        f"{REPORT}/defenses_table.py",
        "rows.cpu_seconds.sum() / networks",
        "rows.cpu_seconds.sum()",
        (VERDICT,),
    ),
    Mutation(
        "first layers are the deep ones", f"{REPORT}/claims.py", "by_layer[by_layer.depth == 1]", "by_layer[by_layer.depth > 1]", (CLAIMS,)
    ),
    Mutation(
        "half of the filters is all of them", f"{REPORT}/claims.py", 'restored(t["fig3"], 0.5)', 'restored(t["fig3"], 0.0)', (CLAIMS,)
    ),
    Mutation(
        "the weakest of each bank is its mean",
        f"{REPORT}/claims.py",
        "spread(uaps.fooling_own_min, '.3f')",
        "spread(uaps.fooling_own, '.3f')",
        (CLAIMS,),
    ),
    Mutation("Algorithm 1 is the other sampler", f"{REPORT}/claims.py", 'method == "paper"', 'method == "diverse"', (CLAIMS,)),
    Mutation(
        "foreign banks are the own ones",
        f"{REPORT}/claims.py",
        "t1.network != t1.attack_network",
        "t1.network == t1.attack_network",
        (CLAIMS,),
    ),
    Mutation(
        "clean points are gained",
        f"{REPORT}/claims.py",
        "100 * (clean.undefended - clean.ours)",
        "100 * (clean.ours - clean.undefended)",
        (CLAIMS,),
    ),
    Mutation(
        "the margin is the smallest of all xi", f"{REPORT}/claims.py", ".margin.max().unstack()", ".margin.min().unstack()", (CLAIMS,)
    ),
    Mutation(
        "the control's lead over the attack",
        f"{REPORT}/claims.py",
        "(unseen[a] - unseen.random_signs).min()",
        "(unseen.random_signs - unseen[a]).min()",
        (CLAIMS,),
    ),
    Mutation("equal cost to SGA", f"{REPORT}/claims.py", 'at_equal_cost(t["costs"], "uap")', 'at_equal_cost(t["costs"], "sga")', (CLAIMS,)),
    Mutation("the mean counts as an unseen attack", f"{REPORT}/claims_of_defenses.py", 'by.drop("mean_unseen")', "by", (CLAIMS,)),
    Mutation(
        "hardened and ours change places",
        f"{REPORT}/claims_of_defenses.py",
        "again[name, 'mean_unseen', 'hardened']",
        "again[name, 'mean_unseen', 'ours']",
        (CLAIMS,),
    ),
    Mutation(
        "hardening costs nothing",
        f"{REPORT}/claims_of_defenses.py",
        'uap.clean_accuracy["undefended"] - uap.clean_accuracy["hardened"]',
        'uap.clean_accuracy["ours"] - uap.clean_accuracy["hardened"]',
        (CLAIMS,),
    ),
    Mutation("Fig. 6 on other images", f"{REPORT}/claims_of_defenses.py", "uap.fooling_own[key]", "uap.fooling_ratio[key]", (CLAIMS,)),
    Mutation("clipped is not clipped", f"{REPORT}/claims_of_defenses.py", "clip[defense, True]", "clip[defense, False]", (CLAIMS,)),
    Mutation("Fig. S2 under l2", f"{REPORT}/claims_of_defenses.py", 'UNDER = {"uap":', 'UNDER = {"uap_l2":', (CLAIMS,)),
    Mutation("clipping turned round", f"{REPORT}/claims_of_defenses.py", "means[1] - means[0]", "means[0] - means[1]", (CLAIMS,)),
    Mutation("the control is in the span", f"{REPORT}/claims_of_defenses.py", 'both[both.bank != "random_signs"]', "both", (CLAIMS,)),
    Mutation("what holds on some networks holds", f"{REPORT}/wording.py", '"holds" if met.all()', '"holds" if met.any()', (CLAIMS,)),
    Mutation(
        "the best unseen attack is the worst", f"{REPORT}/claims_of_defenses.py", "each.ours.argmin()", "each.ours.argmax()", (CLAIMS,)
    ),
    Mutation("more weights are fewer", f"{REPORT}/claims.py", "trained.ours / retrained", "retrained / trained.ours", (CLAIMS,)),
    Mutation("the strongest xi is the weakest", f"{REPORT}/claims.py", "table4.xi.max()", "table4.xi.min()", (CLAIMS,)),
    Mutation("a network that loses nothing counts", f"{REPORT}/verdicts.py", "/ lost)[lost > 0]", "/ lost)", ("tests/test_verdicts.py",)),
    Mutation(
        "a defence beyond the interval is level",
        f"{REPORT}/verdicts.py",
        "apart[name] <= math.hypot",
        "apart[name] > math.hypot",
        ("tests/test_verdicts.py",),
    ),
    Mutation(
        "weak attacks are strong ones",
        f"{REPORT}/photographs.py",
        'tried > fooling["random_signs"]',
        'tried < fooling["random_signs"]',
        ("tests/test_report_photographs.py",),
    ),
    Mutation(
        "another study is another seed", f"{REPORT}/seeds.py", "alike.get(name) != other.get(name)", "False", ("tests/test_seeds.py",)
    ),
    Mutation("seeds that one study lacks", f"{REPORT}/seeds.py", "== table.seed.nunique()", ">= 1", ("tests/test_seeds.py",)),
    Mutation(
        "what the first seed alone has is compared",
        f"{REPORT}/seeds.py",
        "rows[rows.seed != rows.seed.min()]",
        "rows",
        ("tests/test_seeds.py",),
    ),
    Mutation(
        "who is behind ours", f"{REPORT}/seeds.py", "pairs[defense] > pairs.ours", "pairs[defense] < pairs.ours", ("tests/test_seeds.py",)
    ),
    Mutation(
        "photographs of another network",
        f"{REPORT}/photographs.py",
        'NETWORK = "googlenet"',
        'NETWORK = "squeezenet"',
        ("tests/test_report_photographs.py",),
    ),
    Mutation(
        "the other classes are the ten",
        f"{REPORT}/photographs.py",
        "rows[rows.shown == split]",
        'rows[rows.shown == "test"]',
        ("tests/test_report_photographs.py",),
    ),
    Mutation(
        "the paper's number beside another defence",
        "regen_lib/study/paper.py",
        'KEYS = ["network", "defense", "attack"]',
        'KEYS = ["network", "attack", "defense"][::2]',
        (PAPER,),
    ),
    Mutation(
        "Table 6's number is of units that were not hardened",
        "regen_lib/study/paper.csv",
        "6,resnet152,hardened,spgd",
        "6,resnet152,ours,spgd",
        (PAPER,),
    ),
    Mutation(
        "a slip of the pen in Table 2", "regen_lib/study/paper.csv", "2,vgg_f,prn_det,uap,0.922", "2,vgg_f,prn_det,uap,0.992", (PAPER,)
    ),
    Mutation("UAPs count as unseen", f"{REPORT}/defenses_table.py", 'MET = ("uap", "uap_l2")', 'MET = ("uap_l2",)', (RIVALS,)),
    Mutation("half a point more keeps up", f"{REPORT}/verdicts.py", "KEEPS_UP = 0.02", "KEEPS_UP = 0.005", ("tests/test_verdicts.py",)),
    Mutation(
        "the weakest member's bar points up",
        f"{PLOTS}/attacks.py",
        "error = [mean - weakest, 0 * mean]",
        "error = [0 * mean, mean - weakest]",
        (FIGURES,),
    ),
    Mutation("the best margin is the first", f"{PLOTS}/attacks.py", ".margin.idxmax()", ".margin.idxmin()", (FIGURES,)),
    Mutation("costs in single images", f"{PLOTS}/attacks.py", "line.gradients / 1000", "line.gradients", (FIGURES,)),
    Mutation(
        "the weakest is the mean",
        f"{PLOTS}/evaluation.py",
        "axis.plot(part.xi, part.weakest,",
        "axis.plot(part.xi, part.fooling,",
        (FIGURES,),
    ),
    Mutation("Fig. 3 in fractions", f"{PLOTS}/filters.py", "axis.plot(line.fraction * 100,", "axis.plot(line.fraction,", (FIGURES,)),
    Mutation(
        "wrong answers are blue",
        f"{PLOTS}/pictures.py",
        "BLUE if label == truth else ORANGE",
        "ORANGE if label == truth else BLUE",
        (FIGURES,),
    ),
    Mutation(
        "the verdict's panels change places",
        f"{PLOTS}/defenses.py",
        '"worst": "top-1, worst attack", "white_box"',
        '"white_box": "top-1, worst attack", "worst"',
        (MAP,),
    ),
    Mutation("outputs of other code are taken", OUTPUTS, "if theirs != ours:", "if len(theirs) != len(ours):", TAKEN),
    Mutation("outputs of a failed stage are taken", OUTPUTS, 'output.output_type == "error"', 'output.output_type == "none"', TAKEN),
    Mutation("warnings stay among the outputs", OUTPUTS, 'output.get("name") == "stderr" or ', "", TAKEN),
    Mutation("progress bars stay among the outputs", OUTPUTS, ' or WIDGET in output.get("data", {})', "", TAKEN),
    Mutation("machine paths stay among the outputs", OUTPUTS, 'PATH.sub("", ADDRESS.sub("", text))', 'ADDRESS.sub("", text)', TAKEN),
    Mutation("the hash of outputs is of their counts", OUTPUTS, "[cell.execution_count, cell.outputs]", "[cell.execution_count]", TAKEN),
)
