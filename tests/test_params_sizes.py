"""Sizes that no machine could hold are refused at once, and a layer that is spelled wrongly is the one mistake that is named."""

import time
from pathlib import Path

import pytest

from tests.faults.parameter_values import SIZES
from tests.faults.parameters import Mutation, at, put
from tests.test_params_faults import SECONDS, refusal, write


@pytest.mark.parametrize("key", SIZES)
def test_no_size_is_beyond_all_machines(tmp_path: Path, key: str) -> None:
    """And the check says so at once: it builds no network of a million blocks."""
    for value in SIZES[key]:
        begun = time.process_time()
        said = refusal(write(tmp_path, Mutation("fact", key, put(at(key), value))))
        assert Mutation("fact", key, str, key=key).named(said), f"{str(value)[:50]}: {said}"
        assert time.process_time() - begun < SECONDS


def test_a_layer_that_is_spelled_wrongly_is_the_mistake(tmp_path: Path) -> None:
    """Not the layer of an example, which was right, nor how many units there are."""
    units = ["conv1_l", "conv1_2", "conv2_1", "conv3_1", "conv4_1", "conv5_1"]
    for given in (units, dict.fromkeys(units, 8), units[:1]):
        (line,) = refusal(write(tmp_path, Mutation("fact", "", put(at("units.vgg16"), given)))).splitlines()[1:]
        assert line.startswith("  units.vgg16: is not in the network: choose from conv1_1, ")
