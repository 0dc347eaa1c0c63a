"""Rows of params.yaml that are right and come to nothing: no mistake, and seldom what was meant."""

from collections.abc import Iterator, Mapping
from typing import Any

from regen_lib.study.references import WHOLE


def unused(params: Mapping[str, Any]) -> Iterator[str]:
    """A line for each network in whole ``params`` that no stage runs, and for each bank of ``unseen`` that no table compares."""
    for name in params["networks"]:
        if name not in params["study"]["networks"]:
            yield f"networks.{name}: no stage runs it: name it in study.networks"
    compared = {*WHOLE, *named(params)}
    for section, group in params["unseen"].items():
        for bank in group["banks"]:
            if bank not in compared:
                yield f"unseen.{section}: the bank {bank} is made, and no table compares it: name it in generalization.attacks"


def named(params: Mapping[str, Any]) -> Iterator[str]:
    """The banks that the notebooks 06, 08 and 09 are told to compare."""
    general = params["generalization"]
    yield from (*general["attacks"], *general["costs"], general["control"], params["comparison"]["targeted"])
    for table in params["real_images"].values():
        yield from table["attacks"]
