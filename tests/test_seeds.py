"""The same study with other seeds, gathered: from tables made by hand."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from regen_lib.core.errors import StudyError
from regen_lib.study.folder import prepare
from regen_lib.study.params import load_params
from regen_lib.study.report import seeds
from tests.locks import lock
from tests.repository import REPOSITORY

RESTORED = {0: {"ours": (0.90, 0.80), "prn": (0.95, 0.70)}, 1: {"ours": (0.92, 0.84), "prn": (0.93, 0.90)}}  # by seed: on a, on b


def study(folder: Path, seed: int, *, networks: tuple[str, ...] = ("caffenet", "vgg16")) -> Path:
    """A study's folder with the tables of a comparison: one unseen attack, restored as RESTORED says."""
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["study"]["seed"] = seed
    (folder / "metrics").mkdir(parents=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    rows = []
    for defense, values in RESTORED[seed].items():
        for network, value in zip(networks, values, strict=False):
            cell = {"network": network, "defense": defense, "clean_accuracy": 0.8}
            rows += [{**cell, "attack": attack, "accuracy": 0.8 * v, "restoration": v} for attack, v in (("nag", value), ("uap", 0.99))]
    table = pd.DataFrame(rows)
    table.to_csv(folder / "metrics/defenses.csv", index=False)
    table[table.attack == "nag"].assign(attack="spgd", accuracy=0.5).to_csv(folder / "metrics/table6_defenses.csv", index=False)
    lock(folder, [folder / "metrics/defenses.csv", folder / "metrics/table6_defenses.csv"])
    return folder


def test_what_all_seeds_have_is_compared(tmp_path: Path) -> None:
    folders = [study(tmp_path / "0", 0), study(tmp_path / "1", 1, networks=("caffenet",))]
    table = seeds.gather(folders)
    assert len(table) == 6
    table = seeds.comparable(table)
    assert set(table.network) == {"caffenet"}
    found = table.set_index(["seed", "defense"]).restoration
    assert found.to_dict() == {(0, "ours"): 0.9, (0, "prn"): 0.95, (1, "ours"): 0.92, (1, "prn"): 0.93}


def test_a_seed_that_ran_on_another_day_is_kept(tmp_path: Path) -> None:
    """Of what was gathered before, the seeds whose folders are not given; a seed that ran again takes the place of what it was."""
    first, second = study(tmp_path / "0", 0), study(tmp_path / "1", 1)
    whole = seeds.gather([first, second])
    whole.assign(restoration=whole.restoration.where(whole.seed > 0, 0.1)).to_csv(first / "metrics/seeds.csv", index=False)
    again = seeds.gather([first])
    assert again.round(4).equals(whole.round(4)[list(again)])


def test_another_study_is_no_other_seed(tmp_path: Path) -> None:
    """Fewer networks are, and other rivals: `make seeds` runs those. A rival that both have must be the same."""
    first, second = study(tmp_path / "0", 0), study(tmp_path / "1", 1)
    params = yaml.safe_load((second / "params.yaml").read_text())
    params["study"]["networks"].remove("vgg_f")
    params["secondary"]["hardened"] = ["caffenet", "vgg16"]
    del params["rivals"]["jpeg"]
    params["rivals"]["clamp"] = {"built_on": "networks"}
    (second / "params.yaml").write_text(yaml.safe_dump(params))
    seeds.gather([first, second])
    params["rivals"]["dead_zone"]["options"]["threshold"] = 7
    (second / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(StudyError, match="rivals differ"):
        seeds.gather([first, second])
    params["rivals"]["dead_zone"] = yaml.safe_load((first / "params.yaml").read_text())["rivals"]["dead_zone"]
    params["threats"]["inf"]["xi"] = 50
    (second / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(StudyError, match=r"is another study, not this one with another seed: .*uaps, unseen differ"):
        seeds.gather([first, second])


def test_the_block_has_deviations_over_seeds_and_counts_who_is_ahead(tmp_path: Path) -> None:
    """Ours: .85 and .88, so .865 and a deviation of .03 / sqrt 2; PRN leads on both networks with seed 1, with seed 0 on the first."""
    lines = seeds.block(seeds.gather([study(tmp_path / "0", 0), study(tmp_path / "1", 1)])).splitlines()
    ours, prn = lines[2].split(" | "), lines[3].split(" | ")
    assert ours[0] == "| regeneration (ours)"
    assert ours[1] == "2"
    assert ours[4] == "0.865 <sub>±0.021</sub>"
    assert prn[7:] == ["3 of 4", "0 of 4 |"]
    assert lines[-1].startswith("2 seeds of networks, perturbations, units and rivals; means over CaffeNet, VGG-16")


def test_a_defence_that_one_seed_has_says_so(tmp_path: Path) -> None:
    """PRN's rows of the first seed are gone: it stays, of one seed. Ours of the second, on one network of two: nothing is left of it."""
    table = seeds.gather([study(tmp_path / "0", 0), study(tmp_path / "1", 1)])
    prn = seeds.block(table[(table.defense != "prn") | (table.seed == 1)]).splitlines()[3].split(" | ")
    assert prn[:2] == ["| PRN", "1"]
    assert prn[4] == "0.915"  # of .93 and .90; one seed has no deviation
    assert prn[7:] == ["2 of 2", "0 of 2 |"]
    first = seeds.comparable(table[(table.defense != "prn") | (table.seed == 0)])
    assert set(first.defense) == {"ours"}
    half = seeds.comparable(table[(table.defense != "prn") | (table.network == "caffenet")])
    assert set(half.defense) == {"ours"}


def test_seeds_that_cannot_be_gathered(tmp_path: Path) -> None:
    first = study(tmp_path / "0", 0)
    with pytest.raises(StudyError, match="has seed 0, as another folder has"):
        seeds.gather([first, first])
    (tmp_path / "0/metrics/defenses.csv").unlink()
    with pytest.raises(StudyError, match="lacks defenses: run the stage `comparison` there first"):
        seeds.gather([first])


@pytest.mark.parametrize("kept", [0.5, 0.9])
@pytest.mark.parametrize("whole_rows", [False, True])
def test_a_cut_table_is_not_gathered(tmp_path: Path, kept: float, whole_rows: bool) -> None:
    """In the middle of a row, or after one: the table of seeds would lack networks, and nothing would say so."""
    folders = [study(tmp_path / "0", 0), study(tmp_path / "1", 1)]
    path = tmp_path / "1/metrics/defenses.csv"
    text = path.read_text()
    cut = text[: int(kept * len(text))]
    path.write_text(cut.rpartition("\n")[0] + "\n" if whole_rows else cut)
    with pytest.raises(StudyError, match=r"1/metrics/defenses\.csv is (cut|not as dvc\.lock)"):
        seeds.gather(folders)


def test_a_folder_with_another_seed(tmp_path: Path) -> None:
    base = REPOSITORY / "studies/cifar10"
    prepare(tmp_path / "again", base / "params.yaml", base / "seeds.yaml", raw=False, seed=7)
    params = load_params(tmp_path / "again/params.yaml")
    assert params["study"]["seed"] == 7
    assert set(params["rivals"]) == {"prn", "jpeg", "regeneration_first", "regeneration_outputs"}
