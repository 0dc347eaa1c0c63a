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


def table(attack: str, **ours: Any) -> pd.DataFrame:
    """GoogLeNet's rows and another network's, which have no part."""
    undefended = {"clean_accuracy": 0.75, "restoration": 0.4, "xi": 10.0}
    rows = [{"network": "googlenet", "defense": "ours", **ours}, {"network": "googlenet", "defense": "undefended", **undefended}]
    rows += [{**row, "network": "squeezenet", "clean_accuracy": 0.1, "restoration": 0.1} for row in rows]
    return pd.DataFrame(rows).assign(attack=attack)


def test_the_readmes_sentence_is_of_the_papers_own_network() -> None:
    masked = [
        {"network": network, "depth": 1, "order": order, "fraction": fraction, "accuracy": accuracy, "clean": 0.75, "layer": "conv1"}
        for network, lift in (("googlenet", 0.0), ("squeezenet", 0.1))
        for order, half in (("ranked", 0.7), ("random", 0.5), ("reversed", 0.3))
        for fraction, accuracy in ((0.0, 0.25), (0.5, half + lift / 10), (1.0, 0.75))
    ]
    said = photographs.sentence(
        {
            "banks": pd.DataFrame([("googlenet", "uap", 0.71), ("squeezenet", "uap", 0.9)], columns=["network", "bank", "fooling_unseen"]),
            "table2": table("uap", clean_accuracy=0.735, restoration=0.951, xi=10.0),
            "table3": table("uap_l2", clean_accuracy=0.735, restoration=0.902, xi=2000.0),
            "table5": table("mean_unseen", clean_accuracy=0.735, restoration=0.888, xi=10.0),
            "fig3": pd.DataFrame(masked),
        }
    )
    assert "UAPs at ξ = 10 fool 0.71 of photographs" in said
    assert "units restore 0.951 (the paper: 0.970), under l2 0.902 (0.912), in the mean over unseen attacks 0.888, at 1.5 points" in said
    assert said.endswith("gives back 0.90 of what UAPs take, a random half 0.50.")  # (.7 - .25) and (.5 - .25) of .75 - .25
