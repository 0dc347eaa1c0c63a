"""Numbers and verdicts in words, for the report's claims."""

import pandas as pd

from regen_lib.study import paper

Tables = dict[str, pd.DataFrame]
Finding = tuple[str, str, str, str]  # the claim, the paper's figure, ours, the verdict: empty for what the paper does not claim
SAME = 0.01  # what differs by less is the same
BREAK = "<br>"  # between the parts of a cell


def spread(values: pd.Series, form: str = ".2f") -> str:
    """The range of some values; one number where its ends agree."""
    low, high = f"{values.min():{form}}", f"{values.max():{form}}"
    return low if low == high else f"{low} to {high}"


def on_networks(met: pd.Series) -> str:
    """The verdict on a claim that is met or not, network by network."""
    return "holds" if met.all() else "partly" if met.any() else "does not"


def papers(table: str, which: str = "index == index", **defenses: str) -> str:
    """The range of the paper's numbers in a table, for each of ``defenses`` under its title; ``which`` is a query that chooses rows."""
    found = paper.numbers().query(f"table == {table!r}").query(which)
    return ", ".join(f"{spread(found[found.defense == defense].value, '.3f')} {title}" for defense, title in defenses.items())


def arrows(before: pd.Series, after: pd.Series) -> str:
    """Pairs of values in a row."""
    return " · ".join(f"{old:.3f} → {new:.3f}" for old, new in zip(before, after, strict=True))


def dots(values: pd.Series, form: str = ".3f") -> str:
    """Values in a row."""
    return " · ".join(format(value, form) for value in values)
