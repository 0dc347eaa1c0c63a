"""The report's claims from tables made by hand: each sentence's numbers worked out here."""

from typing import Any

import pandas as pd
import pytest

from regen_lib.study.report import claims, claims_of_defenses, wording


def frame(columns: str, *rows: tuple[Any, ...], **same: Any) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=columns.split()).assign(**same)


def test_filters_first_layers_and_deeper() -> None:
    fig2 = frame(
        "network depth spearman spearman_drawn",
        *[("a", 1, 0.9, 0.1), ("a", 1, 0.9, 0.1), ("b", 1, 0.7, -0.2), ("a", 2, 0.5, 0.8), ("b", 3, -0.1, 0.9)],
    )
    rows = [("a", order, 0.0, 0.2) for order in ("ranked", "random", "reversed")] + [
        ("b", o, 0.0, 0.4) for o in ("ranked", "random", "reversed")
    ]
    rows += [("a", "ranked", 0.5, 0.8), ("a", "random", 0.5, 0.5), ("a", "reversed", 0.5, 0.2)]  # of a loss of 0.6: 1, 1/2, 0
    rows += [("b", "ranked", 0.5, 0.68), ("b", "random", 0.5, 0.6), ("b", "reversed", 0.5, 0.44)]  # of a loss of 0.4: 0.7, 1/2, 0.1
    fig3 = frame("network order fraction accuracy", *rows, depth=1, clean=0.8, ci_low=0.0, ci_high=1.0)
    norms, masking = claims.of_filters({"fig2": fig2, "fig3": fig3})
    assert (
        norms[2]
        == "Spearman 0.70 to 0.90 in first layers, -0.10 to 0.50 deeper; with the norms before training -0.20 to 0.10 in first layers"
    )
    assert norms[3] == "holds"  # each at least .7
    assert masking[3] == "partly"  # .85 in the mean
    assert masking[2].endswith("ranked 0.85 (lowest 0.70), random 0.50 (lowest 0.50), least vulnerable 0.05 (lowest 0.00)")


def test_perturbations_by_bank() -> None:
    columns = "bank network xi fooling_own fooling_own_min fooling_unseen cosine_max"
    banks = frame(
        columns,
        *[("train", "a", 60, 0.1, 0.1, 0.1, 0.99), ("uap", "a", 60, 0.81, 0.802, 0.7, 0.3), ("uap", "b", 60, 0.9, 0.85, 0.8, 0.5)],
        *[("uap_smaller", "a", 55, 0.75, 0.71, 0.2, 0.9), ("uap_smaller", "b", 55, 0.85, 0.8, 0.3, 0.9)],
    )
    synthesis = frame(
        "method cosine_median mixed_median steps_median", ("paper", 0.999, 1.1, 4.0), ("paper", 1.0, 1.2, 11.0), ("diverse", 0.5, 9.0, 99.0)
    )
    own, orthogonal, made = claims.of_perturbations({"banks": banks, "synthesis": synthesis})
    assert own[2] == (
        "xi 60: means 0.81 to 0.90, weakest of each bank 0.802 to 0.850, on test images 0.70 to 0.80<br>xi 55: means 0.75 to 0.85, "
        "weakest 0.710 to 0.800"
    )
    assert orthogonal[2:] == ("largest inner product 0.30 to 0.50", "does not")
    assert (own[3], made[3]) == ("holds", "does not")
    assert made[2] == "median cosine with the nearest member 0.999 to 1.000, effective members 1.10 to 1.20, steps 4 to 11"


def test_units_on_clean_images_and_other_networks() -> None:
    cells = [("a", "undefended", "b", 0.4), ("a", "ours", "b", 0.7), ("b", "undefended", "a", 0.2), ("b", "ours", "a", 0.8)]
    own = [("a", "undefended", "a", 0.01), ("a", "ours", "a", 0.99)]  # not a foreign bank: left out
    table1 = frame("network defense attack_network accuracy", *cells, *own)
    table2 = frame(
        "network defense clean_accuracy", *[("a", "undefended", 0.9), ("a", "ours", 0.893), ("b", "undefended", 0.8), ("b", "ours", 0.805)]
    )
    rows = [("ours", 90, 0.8, 0.5), ("ours", 60, 0.97, 0.88), ("undefended", 60, 0.7, 0.3), ("undefended", 90, 0.6, 0.1)]
    table4 = frame("defense xi restoration accuracy", *rows, network="vgg16", clean_accuracy=0.9)
    costs = frame("network defense parameters", *[("a", "ours", 7), ("a", "adversarial_training", 70), ("b", "ours", 9)])
    tables = {"table1": table1, "table2": table2, "table4": table4, "defense_costs": costs}
    clean, foreign, strong, weights = claims.of_units(tables)
    assert clean[2:] == ("-0.5 to 0.7 points lost", "holds")
    assert foreign[1:] == ("0.457 to 0.769 with units", "top-1 0.200 to 0.400 undefended, 0.700 to 0.800 with units", "holds")
    assert strong == (
        "restoration falls gently with xi (Table 4: 60 · 90; undefended → with units)",
        "CaffeNet 0.596 → 0.976 · 0.543 → 0.952 · 0.525 → 0.896 · 0.519 → 0.854",
        "VGG-16 0.700 → 0.970 · 0.600 → 0.800",
        "partly",  # at 90, .4 of the lost .8 come back
    )
    assert weights[1:] == ("as little as 0.1", "0.10 of the network's", "holds")
    assert claims.fewer_weights(costs[costs.defense == "ours"])[2:] == ("no network was trained whole", "")


def test_a_claim_may_hold_on_some_networks() -> None:
    assert [wording.on_networks(pd.Series(met)) for met in ([True, True], [True, False], [False, False])] == ["holds", "partly", "does not"]
    assert wording.spread(pd.Series([0.501, 0.499])) == "0.50"


def attack_tables() -> dict[str, pd.DataFrame]:
    unseen = frame(
        "network bank fooling_unseen",
        *[("vgg16", "uap", 0.8), ("vgg_f", "uap", 0.9), ("vgg16", "gd_uap_data", 0.5), ("vgg_f", "gd_uap_data", 0.4)],
        *[("vgg16", "random_signs", 0.3), ("vgg_f", "random_signs", 0.45)],
        xi=20.0,
    )
    margins = frame(
        "network attack xi margin",
        *[("vgg16", "uap", 30, 0.6), ("vgg16", "uap", 60, 0.5), ("vgg_f", "uap", 30, 0.1), ("vgg_f", "uap", 60, 0.45)],
        *[("vgg16", "gd_uap_data", 60, 0.2), ("vgg_f", "gd_uap_data", 30, 0.05), ("vgg_f", "gd_uap_data", 60, -0.05)],
    )
    costs = frame(
        "network attack gradients fooling",
        *[("vgg16", "uap", 100, 0.7), ("vgg16", "uap", 200, 0.8), ("vgg16", "sga", 150, 0.85), ("vgg16", "sga", 300, 0.99)],
        *[("vgg_f", "uap", 100, 0.9), ("vgg_f", "sga", 100, 0.8), ("vgg_f", "sga", 200, 0.95)],
    )
    excitation = frame(
        "network attack excitation fooling",
        *[("vgg_f", "gd_uap_data", 0.94, 0.4), ("vgg_f", "uap", -0.17, 0.9), ("vgg_f", "random_signs", -0.06, 0.45)],
        *[("vgg16", "gd_uap_data", 9.0, 0.5), ("vgg16", "uap", 9.0, 0.8), ("vgg16", "random_signs", 9.0, 0.3)],
        xi=60,
    )
    return {"unseen": unseen, "margins": margins, "costs": costs, "excitation": excitation}


def test_attacks_above_their_control_and_within_uaps_work() -> None:
    strong, equal, energy = claims.of_attacks(attack_tables())
    assert strong[0].endswith("at xi 20; above random signs there, and at the best xi up to 60)")
    assert strong[2] == "UAP 0.80 (+0.45, +0.45)<br>G-UAP, data 0.40 (-0.05, +0.05)"
    assert equal[2] == "UAP 0.80 to 0.90 (+0.00)<br>SGA 0.80 to 0.85 (-0.10)"
    assert energy[0].endswith("beside what fools (VGG-F, xi 60)")
    gains = ("G-UAP, data +0.94 nats a convolution, fools 0.40", "UAP -0.17 nats a convolution, fools 0.90")
    assert energy[2] == "<br>".join([*gains, "random signs -0.06 nats a convolution, fools 0.45"])


def test_unseen_attacks_before_and_after_hardening() -> None:
    rows = [("fff", "a", "undefended", 0.6), ("fff", "a", "ours", 0.8), ("fff", "b", "undefended", 0.7), ("fff", "b", "ours", 0.9)]
    others = [("random_signs", n, d, 0.1) for n in ("a", "b") for d in ("undefended", "ours")]
    others += [("mean_unseen", n, d, v) for n, lift in (("a", 0.0), ("b", 0.02)) for d, v in (("undefended", 0.65 + lift), ("ours", 0.75))]
    table5 = frame("attack network defense restoration", *rows, *others, clean_accuracy=0.9)
    table5["accuracy"] = table5.defense.map({"undefended": 0.5, "ours": 0.88})
    hardened = frame(
        "network attack defense restoration",
        *[("vgg16", "fff", "ours", 0.7), ("vgg16", "nag", "ours", 0.9), ("vgg16", "mean_unseen", "ours", 0.8)],
        *[("vgg16", "fff", "hardened", 0.75), ("vgg16", "nag", "hardened", 0.95), ("vgg16", "mean_unseen", "hardened", 0.85)],
    )
    unseen = frame("network bank span_train", *[(n, bank, 0.1) for n in ("a", "b") for bank in ("fff", "random_signs")])
    held, again, _ = claims.of_unseen({"table5": table5, "hardened": hardened, "unseen": unseen})
    assert held[1] == "0.640 to 0.815 undefended, 0.840 to 0.976 with units"
    assert held[2:] == (
        "mean over the attacks 0.65 to 0.67 undefended, 0.75 with units<br>at worst 0.80 (FFF, a; undefended 0.60)",
        "holds",  # .38 of .4 come back
    )
    assert again[2] == "VGG-16 mean 0.80 → 0.85, lowest 0.70 → 0.75"


def test_restoration_against_the_energy_in_the_span() -> None:
    """Ranks by hand: on a the order is the same, on b it is turned round; the control has no part."""
    spans = {"uap": 0.3, "nag": 0.2, "gap": 0.1, "random_signs": 0.9}
    unseen = frame("network bank span_train", *[(n, bank, span) for n in ("a", "b") for bank, span in spans.items()])
    restored = {"a": {"uap": 0.9, "nag": 0.8, "gap": 0.7}, "b": {"uap": 0.7, "nag": 0.8, "gap": 0.9}}
    rows = [(n, attack, "ours", value) for n, values in restored.items() for attack, value in values.items()]
    rows += [("a", "uap", "undefended", 0.1), ("a", "random_signs", "ours", 0.99), ("b", "random_signs", "ours", 0.99)]
    found = claims_of_defenses.in_the_span({"unseen": unseen, "table5": frame("network attack defense restoration", *rows)})
    assert found[2] == "share of the energy there 0.10 to 0.30; Spearman's correlation with restoration, by network, -1.00 to 1.00"


def test_clipping_moves_defences() -> None:
    """PRN gains .05 and passes ours; the third, of one network alone, has no part."""
    not_clipped = {"undefended": 0.5, "ours": 0.92, "prn": 0.90, "hgd": 0.80}
    after = {"undefended": 0.52, "ours": 0.93, "prn": 0.95, "hgd": 0.80}

    def table(values: dict[str, float]) -> pd.DataFrame:
        rows = [(n, "mean_unseen", d, value) for n in ("a", "b") for d, value in values.items()]
        return frame("network attack defense restoration", *rows, ("a", "mean_unseen", "hardened", 0.99), ("a", "uap", "ours", 0.0))

    found = claims_of_defenses.clipped({"defenses": table(not_clipped), "clipped": table(after)})
    assert found == "clipped, +0.000 to +0.050; places that change: regeneration (ours) 1 → 2, PRN 2 → 1"
    assert claims_of_defenses.clipped({"defenses": table(after), "clipped": table(after)}) == "clipped, +0.000; no place changes"


def test_attackers_who_know_the_units() -> None:
    columns = "network attack defense fooling_ratio accuracy clean_accuracy passes late_gain"
    rows = [("caffenet", "spgd", d, f, 0.5, 0.9, p, 0.01) for d, f, p in (("undefended", 0.9, 7), ("ours", 0.8, 9), ("hardened", 0.7, 31))]
    rows += [("resnet152", "spgd", d, f, 0.25, 0.88, 8, 0.1) for d, f in (("undefended", 0.95), ("ours", 0.6), ("hardened", 0.75))]
    fig6 = frame(
        "network defense fooling_own fooling_ratio clean_accuracy",
        *[("caffenet", "undefended", 0.85, 0.75, 0.9), ("caffenet", "ours", 0.75, 0.63, 0.89)],
        *[("caffenet", "hardened", 0.43, 0.3, 0.88), ("caffenet", "prn", 0.44, 0.4, 0.87)],
    )
    white, uap = claims.of_attackers({"table6": frame(columns, *rows), "fig6_test": fig6})
    assert white[1] == "hardened ResNet-152 under sPGD: top-1 0.731 of 0.790"
    assert white[2] == (
        "sPGD: undefended 0.90 to 0.95, with units 0.60 to 0.80, hardened 0.70 to 0.75<br>"
        "hardened ResNet-152 under sPGD: top-1 0.250 of 0.880<br>passes 7 to 31, their second half gained at most 0.10"
    )
    assert white[3] == "does not"  # .25 of .88, the paper's .731 of .790
    assert uap[1] == "hardened 0.42, PRN 0.87"
    reached = "undefended 0.85 (0.75)<br>with units 0.75 (0.63)<br>hardened 0.43 (0.30)<br>PRN 0.44 (0.40)"
    assert uap[2:] == (f"{reached}<br>hardened loses 2.0 points of clean top-1", "holds")


def test_rivals_on_their_home_ground() -> None:
    table = frame("attack defense restoration", ("uap", "prn", 0.9), ("uap", "prn", 0.95), ("fff", "prn", 0.1), ("uap", "hgd", 0.97))
    home = frame(
        "measure defense value",
        ("found", "prn_det", 1.0),
        ("found", "prn_det", 0.9),
        ("PGD top-1", "undefended", 0.05),
        ("lowest draw", "pixel_deflection", 0.2),
    )
    ((_, _, text, _),) = claims.of_home_ground({"defenses": table, "home": home})
    assert text == (
        "PRN restoration under UAPs 0.90 to 0.95<br>HGD restoration under UAPs 0.97<br>undefended, PGD top-1 0.05<br>"
        "PRN+det, UAP images found 0.90 to 1.00<br>Pixel Deflection, lowest draw under UAPs 0.20"
    )


def test_choices_of_the_units() -> None:
    fig_s2 = frame(
        "network sweep value attack restoration",
        *[("vgg16", "units", 6, "uap", 0.9), ("vgg16", "units", 0, "uap", 0.5), ("vgg16", "units", 6, "uap_l2", 0.1)],
        *[("vgg16", "ratio", 0.5, "uap", 0.91), ("vgg16", "ratio", 0.25, "uap", 0.8)],
        *[
            ("vgg16", "units", 6, "mean_unseen", 0.7),
            ("vgg16", "units", 0, "mean_unseen", 0.6),
            ("vgg16", "ratio", 0.5, "mean_unseen", 0.65),
        ],
    )
    clipping = frame(
        "network defense clip accuracy",
        *[(n, d, c, x) for n, s in (("a", 0.0), ("b", 0.1)) for d, c, x in (("undefended", False, 0.1 + s), ("undefended", True, 0.3 + s))],
        *[(n, d, c, x) for n, s in (("a", 0.0), ("b", 0.1)) for d, c, x in (("ours", False, 0.8 + s), ("ours", True, 0.7 + s))],
    )
    settings = [(key, 0.90 - 0.01 * i, 0.90 + 0.01 * i) for i, key in enumerate(["units6", "narrow", "he", "half", "drops"])]
    choices = frame("defense clean_accuracy restoration", ("undefended", 0.92, 0.5), *settings)
    same = frame("network attack defense restoration", ("a", "mean_unseen", "ours", 0.9), ("a", "mean_unseen", "undefended", 0.5))
    tables = {"figS2": fig_s2, "clipping": clipping, "choices": choices, "defenses": same, "clipped": same}
    units, ratio, clip, _, training = claims.of_choices(tables)
    assert units[2:] == ("under UAPs 0.500 · 0.900<br>under unseen attacks 0.600 · 0.700", "holds")
    assert ratio[2:] == ("under UAPs 0.800 · 0.910<br>under unseen attacks 0.650", "holds")
    assert "(VGG-16, 0.25 · 0.5 of them)" in ratio[0]
    assert "(Fig. S2: VGG-16, 0 · 6 units)" in units[0]
    assert clip[2] == "mean top-1 under UAP: undefended 0.150, clipped 0.350; ours 0.850, clipped 0.750"
    assert training[2] == (
        "as here 2.0, 0.900<br>D = N 3.0, 0.910<br>last convolution from He 4.0, 0.920<br>half of the images perturbed 5.0, 0.930<br>"
        "rate in the paper's drops 6.0, 0.940"
    )


def test_findings_are_rows_with_their_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ([("claim 0", "paper", "here", ""), ("claim 1", "paper", "here", "holds")], ("05_evaluation table2", "00c_attacks fig2 fig3"))
    monkeypatch.setattr(claims, "PARTS", [(lambda _tables: first[0], first[1])])
    lines = claims.findings({}, "studies/small/metrics").splitlines()
    assert lines[:2] == ["| claim | verdict | paper | here | evidence |", "|---|---|---|---|---|"]
    assert (
        lines[2] == "| claim 0 |  | paper | here | [05](../notebooks/05_evaluation.ipynb) · [table2](../studies/small/metrics/table2.csv) |"
    )
    assert lines[3].startswith("| claim 1 | **holds** | paper |")
    assert lines[3].endswith(
        "| [00c](../notebooks/00c_attacks.ipynb) · [fig2](../studies/small/metrics/fig2.csv) · [fig3](../studies/small/metrics/fig3.csv) |"
    )


def test_no_part_of_the_claims_is_left_out() -> None:
    assert {part.__name__ for part, _ in claims.PARTS} == {name for name in vars(claims) if name.startswith("of_")}


def test_a_claim_without_evidence_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "PARTS", [(lambda _tables: [("claim", "paper", "here", "")] * 2, ("05_evaluation table2",))])
    with pytest.raises(ValueError, match="shorter"):
        claims.findings({}, "metrics")
