"""What the report says of photographs, from tables made by hand."""

from typing import Any

import pandas as pd

from regen_lib.study.report import photographs


def real_images() -> pd.DataFrame:
    """Undefended and ours on two splits: top-1, restoration and the share of answers among the ten of each cell are a formula."""
    rows = []
    for shown, images, clean in (("test", 300, 0.75), ("others", 200, 0.6)):
        for defense, lift in (("undefended", 0.0), ("ours", 0.2)):
            for k, attack in enumerate(("uap", "uap_l2", "nag", "fff")):
                cell: dict[str, Any] = {"shown": shown, "network": "googlenet", "defense": defense, "attack": attack, "images": images}
                restoration = 0.5 + lift + 0.01 * k
                among = {"clean_among": 0.04 + lift / 10, "among": 0.1 + lift}
                rows.append({**cell, "clean_accuracy": clean - lift / 10, "restoration": restoration, **among})
    table = pd.DataFrame(rows)
    return table.assign(ci_low=table.restoration - 0.03, ci_high=table.restoration + 0.03)


def test_the_ten_classes_and_the_others_stand_in_one_row() -> None:
    lines = photographs.block(real_images()).splitlines()
    assert lines[0].startswith("| network | units | the ten classes: clean top-1 | UAP | unseen (NAG, FFF) | other classes: clean top-1 |")
    cells = ["GoogLeNet", "regeneration (ours)", "0.730", "0.700 <sub>±0.030</sub>", "0.725", "0.580", "0.700 <sub>±0.030</sub>", "0.725"]
    assert lines[3] == f"| {' | '.join([*cells, '0.060', '0.300'])} |"
    assert lines[-1].endswith("300 of the ten classes and 200 of other classes, none of which an attack or a unit has seen.")


def table(attack: str, clean: float = 0.735, bare: float = 0.25, ours: float = 0.65) -> pd.DataFrame:
    """Both networks under an attack: top-1 without and with units; SqueezeNet's units gain nothing."""
    rows = [("googlenet", "undefended", 0.75, bare, 0.5), ("googlenet", "ours", clean, ours, 0.1)]
    rows += [("squeezenet", "undefended", 0.6, 0.2, 0.6), ("squeezenet", "ours", 0.6, 0.2, 0.6)]
    made = pd.DataFrame(rows, columns=["network", "defense", "clean_accuracy", "accuracy", "fooling_ratio"])
    return made.assign(attack=attack, restoration=made.accuracy, ci_low=0.6, ci_high=0.7, images=150, xi=10.0)


def test_the_readmes_sentence_is_of_the_papers_own_network() -> None:
    masked = [
        {"network": network, "depth": 1, "order": order, "fraction": fraction, "accuracy": accuracy, "clean": 0.75, "layer": "conv1"}
        for network, lift in (("googlenet", 0.0), ("squeezenet", 0.1))
        for order, half in (("ranked", 0.7), ("random", 0.5), ("reversed", 0.3))
        for fraction, accuracy in ((0.0, 0.25), (0.5, half + lift / 10), (1.0, 0.75))
    ]
    weak = table("sga", bare=0.74, ours=0.1).assign(fooling_ratio=0.01)
    signs = table("random_signs", bare=0.7, ours=0.7).assign(fooling_ratio=0.05)
    unseen = [table("nag", ours=0.45), table("gap", ours=0.55), weak, signs, table("mean_unseen")]
    said = photographs.sentence(
        {
            "banks": pd.DataFrame([("googlenet", "uap", 0.71), ("squeezenet", "uap", 0.9)], columns=["network", "bank", "fooling_unseen"]),
            "table2": table("uap"),
            "table5": pd.concat(unseen, ignore_index=True),
            "fig3": pd.DataFrame(masked).assign(ci_low=0.0, ci_high=1.0),
        }
    )
    assert "UAPs at ξ = 10 fool 0.71 of photographs" in said
    assert "units bring 0.80 of the lost top-1 back, at 1.5 points on clean images" in said  # .65 - .25 of .75 - .25
    assert "(restoration 0.250 → 0.650, 0.600 to 0.700, on 150 photographs; the paper: 0.691 → 0.970)" in said
    assert "0.50 comes back, in the mean over the 2 of 3 that fool more than random signs" in said  # .2 and .3 of .5
    assert "gives back 0.90 of what UAPs take, a random half 0.50." in said  # (.7 - .25) and (.5 - .25) of .75 - .25
    assert said.endswith("SqueezeNet's units bring 0.00 of the lost top-1 back, without loss on clean images.")
