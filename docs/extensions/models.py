"""The page of model cards: what every study keeps, kind by kind."""

from pathlib import Path

import pandas as pd
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from extensions.tables import html
from regen_lib.study.pack.cards import LIMITS, USE
from regen_lib.study.report.models import models
from regen_lib.study.report.studies import folders

KINDS = {
    "network": "Networks",
    "units": "Units",
    "defense": "Other defences",
    "bank": "Perturbations",
    "perturbations": "Synthetic perturbations",
}
HEADS = {
    "clean": "clean top-1",
    "uaps": "restoration, own UAPs",
    "unseen": "restoration, unseen attacks",
    "fooling": "fooling ratio, new images",
}
HEADS |= {"size": "kB", "what": "what it is"}
MEASURED = ["clean", "uaps", "unseen", "fooling"]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive ``models``."""
    app.add_directive("models", Models)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class Models(SphinxDirective):
    """A section for each kind of file: what it is for, its limits, and a table of what the studies have."""

    def run(self) -> list[nodes.Node]:
        """The sections."""
        root = Path(self.env.srcdir)
        for folder in (studies := folders(root)).values():
            for path in (folder / "dvc.lock", folder / "params.yaml", *folder.glob("metrics/*.csv")):
                self.env.note_dependency(path)
        rows = pd.concat([models(study, folder) for study, folder in studies.items()], ignore_index=True)
        return [self.section(kind, rows[rows.kind == kind]) for kind in KINDS]

    def section(self, kind: str, rows: pd.DataFrame) -> nodes.section:
        """One kind."""
        section = nodes.section(ids=[nodes.make_id(KINDS[kind])], names=[KINDS[kind].lower()])
        section += nodes.title("", KINDS[kind])
        section += self.parse_text_to_nodes(f"**Intended use.** {USE[kind]}\n\n**Limits.** {LIMITS[kind]}")
        measured = {name: rows[name].map("{:.3f}".format, na_action="ignore").fillna("") for name in MEASURED if rows[name].notna().any()}
        shown = rows.drop(columns=["kind", *MEASURED]).assign(**measured)
        section += html(shown.rename(columns=HEADS), chosen={"study": "cifar10"})
        return section
