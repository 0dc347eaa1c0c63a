"""The paper's numbers as they stand in the paper, and where they stand beside ours."""

import pandas as pd
import pytest

from regen_lib.core.errors import StudyError
from regen_lib.study import paper

# cells copied from the paper's pages, one row or column of each table
PRINTED = {
    ("clean", "resnet152", "undefended", "none"): 0.79,
    ("1", "vgg16", "undefended", "googlenet"): 0.519,
    ("1", "googlenet", "undefended", "vgg16"): 0.472,
    ("1", "caffenet", "ours", "resnet152"): 0.470,
    ("2", "vgg_f", "prn_det", "uap"): 0.922,
    ("2", "resnet152", "hgd", "uap"): 0.739,
    ("3", "googlenet", "prn", "uap_l2"): 0.971,
    ("3", "vgg16", "ours", "uap_l2"): 0.876,
    ("4", "caffenet", "pixel_deflection", "times_2"): 0.549,
    ("4", "caffenet", "ours", "times_2_5"): 0.854,
    ("5", "caffenet", "ours", "singular_fool"): 0.914,
    ("5", "resnet152", "feature_denoising", "gap"): 0.815,
    ("6", "resnet152", "hardened", "spgd"): 0.731,
    ("6", "resnet152", "shared_adversarial_training", "spgd"): 0.727,
    ("fig6", "caffenet", "hardened", "uap"): 0.42,
    ("fig6", "caffenet", "prn", "uap"): 0.87,
}


@pytest.mark.parametrize("cell", PRINTED, ids=" ".join)
def test_numbers_are_the_papers(cell: tuple[str, str, str, str]) -> None:
    assert paper.number(*cell) == PRINTED[cell]


def test_every_cell_of_the_papers_tables_is_there_once() -> None:
    """Counted on the page: rows that all networks have, and those of ResNet-152 alone."""
    found = paper.numbers()
    assert not found.duplicated(["table", *paper.KEYS]).any()
    counts = {"clean": 5, "1": 50, "2": 7 * 5 + 3, "3": 5 * 5 + 3, "4": 5 * 4, "5": 4 * 6 + 3 * 3, "6": 6, "fig6": 3}
    assert found.groupby("table").size().to_dict() == counts
    assert found.value.between(0, 1).all()


def test_a_number_that_the_paper_does_not_have() -> None:
    with pytest.raises(StudyError, match="the paper has 0 numbers for"):
        paper.number("6", "resnet152", "ours", "spgd")  # its units of Table 6 are hardened ones


def test_the_papers_numbers_stand_beside_ours() -> None:
    rows = [
        ("caffenet", "ours", "uap", 0),
        ("caffenet", "ours", "uap_l2", 0),
        ("caffenet", "ours", "fff", 0),
        ("squeezenet", "ours", "uap", 0),
    ]
    table = pd.DataFrame(rows, columns=["network", "defense", "attack", "seed"]).assign(fooling_own=0.5)
    joined = paper.beside(table, "2", "5")
    assert list(joined.columns) == ["network", "defense", "attack", "seed", "paper", "fooling_own"]
    assert joined.paper.fillna(-1).tolist() == [0.976, -1, 0.941, -1]
    assert joined.drop(columns="paper").equals(table)


def test_table_4s_strengths_are_found_by_name() -> None:
    rows = [("caffenet", "ours", attack, 0) for attack in ("uap", "times_2")]  # 1.5 times xi was not run
    table = pd.DataFrame(rows, columns=["network", "defense", "attack", "seed"])
    assert paper.beside(table, "4").paper.tolist() == [0.976, 0.896]


def test_a_cell_may_not_be_in_two_of_the_tables() -> None:
    """Tables 2 and 4 both hold CaffeNet under UAPs: joined to both, a row would be doubled."""
    table = pd.DataFrame([("caffenet", "ours", "uap", 0)], columns=["network", "defense", "attack", "seed"])
    with pytest.raises(pd.errors.MergeError):
        paper.beside(table, "2", "4")
