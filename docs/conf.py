"""The site: ``make docs`` builds it into build/site, from the repository's root, so that links are the same here and on the site."""

import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "regen_lib"
author = copyright = "The regen_lib authors"
version = release = metadata.version("regen_lib")
root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "docs/*.rst",
    "docs/api/*",
    "notebooks/*.ipynb",
    "metrics/*.csv",
    "studies/*/metrics/*.csv",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
]
exclude_patterns = [".*", "**/.*", "build", "**/data", "executed", "figures"]
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    *(f"extensions.{name}" for name in ("mathml", "models", "signatures", "tables")),
]
templates_path = [str(HERE / "templates")]  # autosummary takes a relative one from the root

nb_execution_mode = "off"
nb_merge_streams = True
nb_output_stderr = "remove"  # progress bars
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]  # widgets need a kernel: their text instead
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # by default from elsewhere
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath", "amsmath"]
suppress_warnings = ["ref.python"]  # a public name has two places, regen_lib and the module that it comes from

autodoc_typehints_format = "short"
autodoc_member_order = "groupwise"
python_maximum_signature_line_length = 90

html_theme = "furo"
html_title = "Selective feature regeneration, reproduced"
html_math_renderer = "mathml"
html_static_path = ["static"]
html_favicon = "static/icon.svg"
html_css_files = ["site.css"]
html_js_files = [("tables.js", {"defer": "defer"})]
html_additional_pages = {"index": "start.html"}
html_copy_source = False
html_show_sphinx = False
