"""Tables that a click on a header sorts: a page for every CSV file, and the comparison of all defences."""

import io
from collections.abc import Mapping
from html import escape
from pathlib import Path
from types import MappingProxyType

import pandas as pd
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.parsers import Parser
from sphinx.util.docutils import SphinxDirective

from regen_lib.study.report.comparison import comparison
from regen_lib.study.report.studies import folders

# of the comparison
HEADS = {"clean": "clean top-1", "top1": "top-1", "defense": "defence", "xi": "ξ", "of": "images of", "images": "how many"}
CHOSEN = {"network": "", "attack": "mean, unseen", "study": "cifar10", "images of": ""}  # columns with a choice, and what it is at first


def setup(app: Sphinx) -> dict[str, bool]:
    """Take CSV files as pages, and add the directives ``comparison`` and ``tables``."""
    app.add_source_suffix(".csv", "csv")
    app.add_source_parser(CsvParser)
    app.add_directive("comparison", Comparison)
    app.add_directive("tables", Tables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def html(table: pd.DataFrame, notes: pd.DataFrame | None = None, chosen: Mapping[str, str] = MappingProxyType({})) -> nodes.raw:
    """The table as HTML, with ``notes`` small behind the cells of the same column; ``chosen`` names the columns to choose from."""
    names = [str(name) for name in table]
    heads = "".join(head(name, chosen) for name in names)
    lines = ['<div class="table-wrapper"><table class="sortable">', f"<thead><tr>{heads}</tr></thead>", "<tbody>"]
    for index, row in enumerate(table.itertuples(index=False)):
        cells = [f"<td>{escape(str(value))}{note(notes, index, name)}</td>" for name, value in zip(names, row, strict=True)]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return nodes.raw("", "\n".join([*lines, "</tbody></table></div>"]), format="html")


def head(name: str, chosen: Mapping[str, str]) -> str:
    """A column's head."""
    choice = f' data-choose="{escape(chosen[name])}"' if name in chosen else ""
    return f'<th scope="col"{choice}>{escape(name)}</th>'


def note(notes: pd.DataFrame | None, index: int, column: str) -> str:
    """What stands small behind a cell."""
    text = notes[column].iloc[index] if notes is not None and column in notes else ""
    return f" <small>{escape(text)}</small>" if text else ""


class CsvParser(Parser):
    """A CSV file as a page: its name, and its rows as they are."""

    supported = ("csv",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        """Fill the page."""
        env: BuildEnvironment = document.settings.env
        name = Path(env.doc2path(env.docname, base=False))
        env.metadata[env.docname] |= {"orphan": "", "hide-toc": ""}  # `tables` lists it, not the navigation of every page
        section = nodes.section(ids=[nodes.make_id(name.stem)], names=[name.stem])
        section += nodes.title("", name.stem)
        file = addnodes.download_reference("", "", nodes.literal("", str(name)), reftarget=f"/{name.as_posix()}")
        section += nodes.paragraph("", "", file, nodes.Text(": a click on a header sorts."))
        section += html(pd.read_csv(io.StringIO(inputstring), dtype=str, keep_default_na=False))
        document += section


class Comparison(SphinxDirective):
    """All defences by study, attack and network, from the tables in the repository."""

    def run(self) -> list[nodes.Node]:
        """The table."""
        root = Path(self.env.srcdir)
        studies = {study: folder / "metrics" for study, folder in folders(root).items()}
        for path in (path for metrics in studies.values() for path in metrics.glob("*.csv")):
            self.env.note_dependency(path)
        rows = comparison(studies)
        notes = pd.DataFrame({"top1": rows.top1_interval, "restoration": rows.restoration_interval})
        shown = rows.drop(columns=["top1_interval", "restoration_interval"])
        digits = dict.fromkeys(("clean", "top1", "restoration"), "{:.3f}") | {"xi": "{:g}"}
        shown = shown.assign(**{name: shown[name].map(form.format) for name, form in digits.items()})
        return [html(shown.rename(columns=HEADS), notes.rename(columns=HEADS), CHOSEN)]


class Tables(SphinxDirective):
    """Links to the pages of all tables in a folder."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The list."""
        folder = self.arguments[0]
        names = sorted(name for name in self.env.found_docs if name.rpartition("/")[0] == folder)
        links = [f"- [{name.rpartition('/')[2]}](/{name}.csv)" for name in names]
        return self.parse_text_to_nodes("\n".join(links))
