"""The pages' tables of results and costs from tables made by hand, and how they come into the pages."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from regen_lib.attacks import ATTACKS
from regen_lib.core.errors import StudyError
from regen_lib.defenses import RIVALS
from regen_lib.study.report import costs, glossary, pages, readme, results, studies
from tests.repository import REPOSITORY

CELLS = {  # table, attack: xi, restoration of ours, the paper's without and with units
    ("table2", "uap"): (60, 0.97, (0.596, 0.976)),
    ("table3", "uap_l2"): (1200, 0.96, (0.677, 0.964)),
    ("table5", "mean_unseen"): (60, 0.77, (None, None)),
    ("table5", "spgd"): (50, 0.68, (None, None)),
    ("table5", "random_signs"): (60, 0.95, (None, None)),
}


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    """Every file that the pages are made from; those that its results do not need are empty."""
    for name in results.FILES:
        pd.DataFrame(columns=results.COLUMNS[name]).to_csv(tmp_path / f"{name}.csv", index=False)
    trained = pd.DataFrame([("caffenet", "ours", 7), ("vgg16", "ours", 9)], columns=["network", "defense", "parameters"])
    trained.to_csv(tmp_path / "defense_costs.csv", index=False)
    rivalry = [
        {"network": network, "defense": defense, "attack": attack, "restoration": restored, "accuracy": known}
        for network in ("caffenet", "vgg16")
        for defense, restored, known in (("undefended", 0.5, 0.1), ("ours", 0.8, 0.6), ("prn", 0.9, 0.5))
        for attack in ("nag", "mean_unseen")
    ]
    table = pd.DataFrame(rivalry).assign(clean_accuracy=0.9, ci_low=0.0, ci_high=1.0, xi=60, images=9, fooling_ratio=0.5)
    for name in ("defenses", "table6_defenses"):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    for name in ("table2", "table3", "table5"):
        rows = []
        for network, less in (("caffenet", 0.0), ("vgg16", 0.1)):
            for attack, (xi, restoration, paper) in [(key[1], cell) for key, cell in CELLS.items() if key[0] == name]:
                row = {"network": network, "attack": attack, "xi": xi, "images": 3000, "fooling_ratio": 0.81 - less}
                ours = {"clean_accuracy": 0.89 - less, "accuracy": 0.842 - less, "restoration": restoration - less}
                bare = {"clean_accuracy": 0.9 - less, "accuracy": 0.198 - less, "restoration": 0.5}
                rows.append({**row, "defense": "undefended", "paper": paper[0], **bare})
                rows.append(
                    {
                        **row,
                        "defense": "ours",
                        "paper": paper[1],
                        **ours,
                        "ci_low": restoration - less - 0.01,
                        "ci_high": restoration - less + 0.02,
                    }
                )
        pd.DataFrame(rows).to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


def test_the_first_table_by_hand(metrics: Path) -> None:
    lines = readme.render(metrics).splitlines()
    assert lines[0] == (
        "| network | clean top-1, % | top-1 under UAP (ξ = 60), % | UAP (ξ = 60) | UAP, l2 (ξ = 1200) | unseen attacks, mean (ξ = 60) "
        "| sPGD (ξ = 50) | random signs (ξ = 60) |"
    )
    cells = ["CaffeNet", "90.0 → 89.0", "19.8 → **84.2**", "0.500 → **0.970** <sub>0.960-0.990</sub> · 0.596 → 0.976"]
    cells += ["0.500 → **0.960** <sub>0.950-0.980</sub> · 0.677 → 0.964", "0.500 → **0.770** <sub>0.760-0.790</sub>"]
    cells += ["0.500 → **0.680** <sub>0.670-0.700</sub>", "0.500 → **0.950** <sub>0.940-0.970</sub>"]
    assert lines[2] == f"| {' | '.join(cells)} |"
    assert lines[3].startswith("| VGG-16 | 80.0 → 79.0 | 9.8 → **74.2** | 0.500 → **0.870** <sub>0.860-0.890</sub> · 0.596 → 0.976 |")
    assert "UAPs fool 0.71 to 0.81 of these images" in lines[5]
    assert "3,000 test images, one perturbation each, not clipped." in lines[5]


def test_the_summary_by_hand(metrics: Path) -> None:
    restored = {"uap": 0.92, "uap_l2": 0.91, "mean_unseen": 0.72, "spgd": 0.63, "random_signs": 0.9}
    assert readme.summary(metrics) == pytest.approx({"clean": 0.84, **restored, "place_unseen": 2, "place_white_box": 1})


def test_an_experiment_has_metrics_and_leaves_the_pages_alone(metrics: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = metrics.parent / "study"
    (study / "metrics").mkdir(parents=True)
    for path in metrics.glob("*.csv"):
        shutil.copy(path, study / "metrics")
    shutil.copy(REPOSITORY / "params.yaml", study)
    monkeypatch.chdir(study)
    written: list[object] = []
    monkeypatch.setattr(readme, "write_pages", lambda *_, **__: written.append(1))
    monkeypatch.setattr(readme, "blocks", lambda *_: {})
    monkeypatch.setenv(readme.EXPERIMENT, "abc")
    assert (readme.main(), written) == (0, [])
    assert (study / "metrics/summary.json").is_file()
    monkeypatch.delenv(readme.EXPERIMENT)
    assert (readme.main(), written) == (0, [1])


def test_a_cell_must_be_there_once(metrics: Path) -> None:
    tables = results.read(metrics)
    assert results.cell(tables, "table5", "vgg16", "spgd", "ours").restoration == pytest.approx(0.58)
    doubled = {"table5": pd.concat([tables["table5"], tables["table5"]])}
    with pytest.raises(StudyError, match=r"table5\.csv has 2 rows for vgg16, spgd, ours"):
        results.cell(doubled, "table5", "vgg16", "spgd", "ours")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("table2", "", "is damaged, or no table"),
        ("table2", "a,b\n1,2\n3,4,5\n", "is damaged, or no table"),
        ("table2", "\udcff", "is damaged, or no table"),
        ("table2", "a,b\n1,2\n", "lacks the columns network, defense, attack"),
        ("table2", f"{','.join(results.COLUMNS['table2'])}\n", "has no rows"),
        ("fig2", "<<<<<<< ours\nnetwork,layer\n", "lacks the columns network, layer, depth"),
        ("inference", "", "is damaged, or no table"),
        ("inference", "network,defense\n", "lacks the columns inference"),
        ("inference", "network,defense,inference\nvgg16,ours,1\nvgg16,ours,2\n", "does not fit defense_costs.csv"),
    ],
)
def test_an_empty_or_foreign_table_is_named(
    metrics: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, content: str, said: str
) -> None:
    (metrics / "metrics").mkdir()
    for path in metrics.glob("*.csv"):
        path.rename(metrics / "metrics" / path.name)
    monkeypatch.chdir(metrics)
    (metrics / f"metrics/{name}.csv").write_bytes(content.encode(errors="surrogateescape"))
    assert readme.main() == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: metrics/{name}.csv {said}")
    assert "delete it" in err
    assert "repro`" in err or "report.minutes`" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("study", [".", "studies/cifar10", "studies/imagenette"])
def test_every_study_has_the_columns(study: str) -> None:
    assert set(results.read(REPOSITORY / study / "metrics")) == set(results.FILES)


def test_a_block_replaces_what_stood_between_its_markers() -> None:
    begin, end = "<!-- results: written by `python -m regen_lib.study.report.readme` -->", "<!-- end of results -->"
    assert pages.insert(f"before\n{begin}\nold\n{end}\nafter", "results", "new") == f"before\n{begin}\nnew\n{end}\nafter"
    with pytest.raises(StudyError, match="once each"):
        pages.insert(f"{begin}{begin}{end}", "results", "new")
    with pytest.raises(StudyError, match="once each"):
        pages.insert(f"{begin}{end}", "results", "new", writer="somebody.else")
    for word in ("restores nan", "| inf |"):
        with pytest.raises(StudyError, match="a number is missing"):
            pages.insert(f"{begin}{end}", "results", f"PRN {word} in the infinite")
    assert "infinite" in pages.insert(f"{begin}{end}", "results", "nanometres in the infinite")


def test_each_page_gets_its_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    markers = "<!-- {0}: written by `python -m tests` -->\n<!-- end of {0} -->"
    Path("a.md").write_text("\n".join(["head", *map(markers.format, ("one", "two"))]))
    pages.write_pages({"a.md": ("one", "two"), "missing.md": ("one",)}, {"one": "1", "two": "2"}, "tests")
    written = markers.replace("\n", "\n{1}\n")
    assert Path("a.md").read_text() == "\n".join(["head", written.format("one", 1), written.format("two", 2)])
    assert not Path("missing.md").exists()
    with pytest.raises(StudyError, match=r"a\.md: the page needs the lines '<!-- three"):
        pages.write_pages({"a.md": ("three",)}, {"three": "3"}, "tests")


def test_the_cost_in_a_line(tmp_path: Path) -> None:
    assert costs.cost(tmp_path).startswith("Not measured yet")
    table = pd.DataFrame(
        {"stage": ["a", "b"], "cpu_seconds": [90.0, 150.0], "peak_mb": [1500.0, 700.0], "network": "", "machine": "a processor"}
    )
    table.to_csv(tmp_path / "minutes.csv", index=False)
    assert costs.cost(tmp_path) == "`make repro` took 4 CPU-minutes on a processor, and a stage at most 1.5 GB of memory."


def test_inference_is_joined_where_it_was_measured(metrics: Path) -> None:
    assert results.read(metrics)["defense_costs"].inference.isna().tolist() == [True, True]
    pd.DataFrame([("vgg16", "ours", 3.0)], columns=["network", "defense", "inference"]).to_csv(metrics / "inference.csv", index=False)
    table = results.read(metrics)["defense_costs"]
    assert list(table.parameters) == [7, 9]
    assert table.inference.fillna(-1).tolist() == [-1, 3.0]


def test_every_study_has_its_row(tmp_path: Path) -> None:
    (tmp_path / "studies/mine/metrics").mkdir(parents=True)
    (tmp_path / "studies/mine/metrics/table1.csv").write_text("a\n1\n")
    row = "study: {networks: [vgg16, squeezenet]}\nimages: {source: some}\nthreats: {inf: {norm: inf, xi: 12}, l2: {norm: 2, xi: 300}}\n"
    (tmp_path / "params.yaml").write_text("# Grey images of\n# clothes. More.\n# And more.\n\n" + row)
    (tmp_path / "studies/mine/params.yaml").write_text("# Photographs: `make it`, at once. More.\n" + row)
    rows = studies.block(tmp_path).splitlines()
    assert rows[2:] == [
        "| [the default](../params.yaml) | Grey images of clothes | VGG-16, SqueezeNet | 12 | none yet |",
        "| [`mine`](../studies/mine/params.yaml) | Photographs | VGG-16, SqueezeNet | 12 | 1 |",
    ]


def test_every_attack_and_defence_has_a_name_and_a_source() -> None:
    for kind, count in (("attacks", len(ATTACKS)), ("defenses", len(RIVALS))):
        rows = glossary.block(kind).splitlines()[2:]
        assert len(rows) == count
        assert all(len(row.split(" | ")) == 2 for row in rows)
    assert "| [G-UAP](../regen_lib/attacks/gd_uap.py) | GD-UAP, the paper's G-UAP (Mopuri, Ganeshan, Babu, PAMI 2018)" in glossary.block(
        "attacks"
    )
