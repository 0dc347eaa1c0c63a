"""Outputs of executed notebooks in the study's: what is taken, what is left out, what is refused."""

import base64
import io
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from PIL import Image

from regen_lib.core.errors import StudyError
from regen_lib.study.__main__ import main
from regen_lib.study.outputs import KEY, PICTURE, code, outputs_hash, small, write_outputs, write_picture
from regen_lib.study.stage import tidied

V4 = nbformat.v4


def picture() -> str:
    """A PNG of many colours, in base64."""
    made = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").resize((64, 64)).save(made, "PNG", compress_level=0)
    return base64.b64encode(made.getvalue()).decode()


OUTPUTS = [
    V4.new_output("stream", name="stderr", text="a warning of /somewhere/else.py"),
    V4.new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "a bar"}),
    V4.new_output("stream", name="stdout", text="half\rwhole: /home/someone/study/data/x.csv, 1/2, https://a.org/b/c\n"),
    V4.new_output("stream", name="stdout", text="more\n"),
    V4.new_output("display_data", {"image/png": picture(), "text/plain": "<Figure at 0x7f0012ab>"}, metadata={"when": "now"}),
    V4.new_output("execute_result", {"text/plain": "3"}, execution_count=7),
]


def notebook(*sources: str, stage: str | None = "s") -> Any:
    made = V4.new_notebook(cells=[V4.new_markdown_cell("prose"), V4.new_code_cell("a = 1", metadata={"tags": ["parameters"]})])
    made.cells += [V4.new_code_cell(source) for source in sources]
    if stage:
        made.metadata[KEY] = {"study": ".", "stage": stage}
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study of one notebook, which one stage has run with another value than its default."""
    for name in ("notebooks", "executed"):
        (tmp_path / name).mkdir()
    nbformat.write(notebook("b = a + 1", "b  # the sum"), tmp_path / "notebooks/n.ipynb")
    run = notebook("b = a + 1", "b", stage=None)
    run.cells.insert(2, V4.new_code_cell("a = 2", metadata={"tags": ["injected-parameters"]}, execution_count=2))
    run.cells[4].outputs, run.cells[4].execution_count = OUTPUTS, 4
    run.cells[0].source = "older prose"
    nbformat.write(run, tmp_path / "executed/s.ipynb")
    return tmp_path


def read(folder: Path) -> Any:
    return nbformat.read(folder / "notebooks/n.ipynb", 4)


def test_outputs_are_taken_without_what_differs_from_machine_to_machine(folder: Path) -> None:
    write_outputs(folder / "notebooks", folder / "executed", ".")
    made = read(folder)
    assert [cell.source for cell in made.cells] == ["prose", "a = 1", "b = a + 1", "b  # the sum"]
    assert [cell.execution_count for cell in code(made)] == [1, 2, 3]
    text, figure, result = made.cells[3].outputs
    assert text.text == "whole: x.csv, 1/2, https://a.org/b/c\nmore\n"
    assert figure.data["text/plain"] == "<Figure>"
    assert not figure.metadata
    assert (result.data["text/plain"], result.execution_count) == ("3", 3)
    assert len(figure.data["image/png"]) < len(picture()) / 2
    before, after = (Image.open(io.BytesIO(base64.b64decode(png))).convert("L") for png in (picture(), figure.data["image/png"]))
    assert max(abs(a - b) for a, b in zip(before.tobytes(), after.tobytes(), strict=True)) <= 3
    bytes_ = (folder / "notebooks/n.ipynb").read_bytes()
    write_outputs(folder / "notebooks", folder / "executed", ".")
    assert (folder / "notebooks/n.ipynb").read_bytes() == bytes_


def test_where_a_kernel_cuts_what_is_printed_leaves_no_trace(tmp_path: Path) -> None:
    """A slow machine's kernel sends in pieces what a fast one's sends at once."""

    def executed(*outputs: Any) -> bytes:
        run = notebook("b = a + 1", stage=None)
        for number, cell in enumerate(run.cells):
            cell.id = f"cell-{number}"
        run.cells[-1].outputs, run.cells[-1].execution_count = [V4.new_output("stream", name="stdout", text="first\n"), *outputs], 2
        nbformat.write(run, tmp_path / "run.ipynb")
        assert tidied(tmp_path / "run.ipynb") == 2
        return (tmp_path / "run.ipynb").read_bytes()

    last = V4.new_output("display_data", {"text/plain": "3"})
    pieces = [V4.new_output("stream", name=name, text=f"{text}\n") for name, text in (("stdout", "a"), ("stderr", "bar"), ("stdout", "b"))]
    assert executed(*pieces, last) == executed(V4.new_output("stream", name="stdout", text="a\nb\n"), last)
    assert executed(last, *pieces) != executed(*pieces, last)


def test_outputs_of_another_run_are_told_apart(folder: Path) -> None:
    write_outputs(folder / "notebooks", folder / "executed", ".")
    made = read(folder)
    assert made.metadata[KEY]["outputs"] == outputs_hash(made)
    made.cells[3].outputs[-1].data["text/plain"] = "2"
    assert made.metadata[KEY]["outputs"] != outputs_hash(made)


def test_other_code_is_refused_and_nothing_is_written(folder: Path) -> None:
    nbformat.write(notebook("x = 0", stage=None), folder / "notebooks/0.ipynb")  # names no stage: left alone
    nbformat.write(notebook("b = a - 1", "b"), folder / "notebooks/z.ipynb")
    before = [path.read_bytes() for path in sorted((folder / "notebooks").iterdir())]
    with pytest.raises(StudyError, match=r"s.ipynb: code cell 2 is not that of .*z.ipynb: run the stage again"):
        write_outputs(folder / "notebooks", folder / "executed", ".")
    assert [path.read_bytes() for path in sorted((folder / "notebooks").iterdir())] == before


@pytest.mark.parametrize("sources", [["b = a + 1"], ["b = a + 1", "b", "a"]])
def test_another_number_of_cells_is_refused(folder: Path, sources: list[str]) -> None:
    nbformat.write(notebook(*sources), folder / "notebooks/n.ipynb")
    with pytest.raises(StudyError, match=f"code cell {min(len(sources), 2) + 2} is not that"):
        write_outputs(folder / "notebooks", folder / "executed", ".")


def test_a_failed_or_missing_stage_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run = nbformat.read(folder / "executed/s.ipynb", 4)
    run.cells[3].outputs = [V4.new_output("error", ename="E", evalue="", traceback=[])]
    nbformat.write(run, folder / "executed/s.ipynb")
    with pytest.raises(StudyError, match="a cell failed"):
        write_outputs(folder / "notebooks", folder / "executed", ".")
    monkeypatch.chdir(folder)
    (folder / "executed/s.ipynb").unlink()
    monkeypatch.setattr("regen_lib.study.__main__.load_params", lambda _: {"study": {"source": "."}})
    assert main(["outputs"]) == 2
    assert capsys.readouterr().err == "error: executed/s.ipynb is missing: `make repro` makes it (notebooks/n.ipynb shows its outputs)\n"


def test_what_no_notebook_shows_and_what_is_not_there_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("regen_lib.study.__main__.load_params", lambda _: {"study": {"source": "."}})
    before = (folder / "notebooks/n.ipynb").read_bytes()
    assert main(["outputs", "--executed", "nosuch"]) == 2
    assert capsys.readouterr().err == "error: nosuch is missing: `make repro` makes it, or give another folder with --executed\n"
    with pytest.raises(StudyError, match=r"none shows the study 'studies/other': run it in the folder of one that they name \(\.\)"):
        write_outputs(folder / "notebooks", folder / "executed", "studies/other")
    (folder / "executed/s.ipynb").write_text("half a note")
    assert main(["outputs"]) == 2
    assert capsys.readouterr().err == "error: executed/s.ipynb is damaged, or no notebook: run the stage again\n"
    assert (folder / "notebooks/n.ipynb").read_bytes() == before


def test_a_picture_of_many_colours_is_made_small_once() -> None:
    """Cleaned again it is the same: a palette of more colours than it has would be another each time."""
    image, raw = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)), io.BytesIO()
    image.save(raw, "PNG")
    once = small(base64.b64encode(raw.getvalue()).decode())
    assert small(once) == once
    assert len(once) < len(base64.b64encode(raw.getvalue()))


def test_one_study_has_the_readmes_picture(tmp_path: Path) -> None:
    study, figure, target = PICTURE
    for folder in (tmp_path / study / figure, tmp_path / target):
        folder.parent.mkdir(parents=True, exist_ok=True)
    Image.radial_gradient("L").convert("RGBA").resize((1800, 900)).save(tmp_path / study / figure)
    write_picture(tmp_path, "studies/another")
    assert not (tmp_path / target).exists()
    write_picture(tmp_path, study)
    assert Image.open(tmp_path / target).size == (900, 450)
