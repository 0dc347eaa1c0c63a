"""What notebooks show of a table: each cell by hand."""

import pandas as pd
import pytest

from regen_lib.study.tables.shown import shown

COLUMNS = ["network", "defense", "attack", "accuracy", "restoration", "ci_low", "ci_high", "paper"]
NONE = float("nan")
ROWS = [
    ("vgg16", "undefended", "uap", 0.1, 0.5504, 0.54, 0.56, NONE),
    ("vgg16", "undefended", "fff", 0.3, 0.66, 0.65, 0.67, NONE),
    ("vgg16", "ours", "uap", 0.8, 0.94, 0.932, 0.948, NONE),
    ("vgg16", "ours", "fff", 0.7, 0.9, 0.88, 0.92, NONE),
    ("caffenet", "undefended", "uap", 0.2, 0.6, 0.59, 0.61, 0.596),
    ("caffenet", "undefended", "fff", 0.4, 0.7, 0.69, 0.71, 0.645),
    ("caffenet", "ours", "uap", 0.9, 1.0, 0.99, 1.0, 0.976),
    ("caffenet", "ours", "fff", 0.6, 0.85, 0.84, 0.86, NONE),
]


def table() -> pd.DataFrame:
    return pd.DataFrame(ROWS, columns=COLUMNS).assign(metric="restoration")


def listed(wide: pd.DataFrame) -> dict[object, list[str]]:
    """The rows by what they are called, in their order."""
    return {index: list(row) for index, row in zip(wide.index, wide.to_numpy(), strict=True)}


def test_the_papers_numbers_are_below_ours_and_all_is_in_the_order_of_the_table() -> None:
    wide = shown(table(), ["network", "defense"], ["attack"])
    assert list(wide.columns) == ["uap", "fff"]
    expected = {
        ("vgg16", "undefended"): [".550 ± .010", ".660 ± .010"],
        ("vgg16", "ours"): [".940 ± .008", ".900 ± .020"],
        ("caffenet", "undefended"): [".600 ± .010", ".700 ± .010"],
        ("caffenet", "undefended, paper"): [".596", ".645"],
        ("caffenet", "ours"): ["1.000 ± .005", ".850 ± .010"],
        ("caffenet", "ours, paper"): [".976", ""],
    }
    assert listed(wide) == expected
    assert list(listed(wide)) == list(expected)


def test_the_interval_and_the_papers_number_are_of_the_metric_alone() -> None:
    rows = table()[lambda t: t.network == "caffenet"]
    wide = shown(rows, ["defense"], ["attack"], ["restoration", "accuracy"])
    assert [*map(tuple, wide.columns)] == [("restoration", "uap"), ("restoration", "fff"), ("accuracy", "uap"), ("accuracy", "fff")]
    assert listed(wide) == {
        "undefended": [".600 ± .010", ".700 ± .010", ".200", ".400"],
        "undefended, paper": [".596", ".645", "", ""],
        "ours": ["1.000 ± .005", ".850 ± .010", ".900", ".600"],
        "ours, paper": [".976", "", "", ""],
    }


def test_columns_of_several_keys_go_by_the_first() -> None:
    wide = shown(table().drop(columns="paper"), ["defense"], ["attack", "network"])
    assert [*map(tuple, wide.columns)] == [("uap", "vgg16"), ("uap", "caffenet"), ("fff", "vgg16"), ("fff", "caffenet")]
    assert listed(wide)["ours"] == [".940 ± .008", "1.000 ± .005", ".900 ± .020", ".850 ± .010"]


def test_rows_without_columns() -> None:
    rows = table()[lambda t: (t.network == "caffenet") & (t.attack == "uap")].drop(columns="paper")
    wide = shown(rows, ["defense"], values=["accuracy", "restoration"])
    assert listed(wide) == {"undefended": [".200", ".600 ± .010"], "ours": [".900", "1.000 ± .005"]}


def test_a_table_of_values() -> None:
    home = pd.DataFrame([("vgg16", "prn", 0.5, 0.4, 0.6)], columns=["network", "defense", "value", "ci_low", "ci_high"])
    assert listed(shown(home, ["defense"], ["network"])) == {"prn": [".500 ± .100"]}


def test_what_one_network_lacks_is_an_empty_cell() -> None:
    rows = table().drop(columns="paper")[lambda t: (t.attack == "uap") & ((t.network == "vgg16") | (t.defense == "ours"))]
    assert listed(shown(rows, ["defense"], ["network"]))["undefended"] == [".550 ± .010", ""]


def test_a_cell_has_one_number() -> None:
    with pytest.raises(ValueError, match="duplicate"):
        shown(pd.concat([table(), table()], ignore_index=True), ["network", "defense"], ["attack"])
