"""The site, built as `make docs` builds it: every link, and every page in a browser at the widths of a telephone and of a screen."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import cache, partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pandas as pd
import pytest

from benchmarks.first_steps import BROWSER
from regen_lib.study.report.comparison import comparison
from tests.repository import REPOSITORY

pytest.importorskip("sphinx", reason="the site's packages are missing: pip install -e '.[docs]'")


ROOT = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox refuses root


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "-c", "docs", ".", str(target)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


class Links(HTMLParser):
    """What a page points to, and the names that can be pointed to in it."""

    def __init__(self) -> None:
        super().__init__()
        self.links, self.loaded, self.names = set[str](), set[str](), set[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.names |= {value for key in ("id", "name") if (value := values.get(key))}
        (self.links if tag == "a" else self.loaded).update(value for key in ("href", "src") if (value := values.get(key)))


@cache
def links(page: Path) -> Links:
    parser = Links()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def test_no_link_within_the_site_is_broken(site: Path) -> None:
    broken = []
    for page in pages(site):
        for link in links(page).links | links(page).loaded:
            parts = urlsplit(urljoin(f"http://site/{page.relative_to(site)}", link))
            if parts.netloc == "site":
                target = site / unquote(parts.path).lstrip("/")
                named = not parts.fragment or target.suffix != ".html" or unquote(parts.fragment) in links(target).names
                broken += [] if target.is_file() and named else [f"{page.relative_to(site)}: {link}"]
    assert not broken


def test_every_page_of_the_repository_is_there(site: Path) -> None:
    sources = [*REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("notebooks/*.ipynb"), *REPOSITORY.glob("metrics/*.csv")]
    missing = [str(source) for source in sources if not (site / source.relative_to(REPOSITORY).with_suffix(".html")).is_file()]
    assert sources
    assert not missing


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    import regen_lib

    described = links(site / "docs/api.html").names
    values = {"ATTACKS", "NETWORKS", "RIVALS", "__version__"}  # named in the text
    assert {f"regen_lib.{name}" for name in set(regen_lib.__all__) - values} <= described


def test_equations_need_no_script(site: Path) -> None:
    page = site / "notebooks/01_filter_norms.html"
    assert "<math" in page.read_text(encoding="utf-8")
    assert not [link for link in links(page).loaded if "math" in link.lower()]


class Quiet(SimpleHTTPRequestHandler):
    """Files, without a line for each request."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the site is served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium without a window."""
    if BROWSER is None:
        pytest.skip("no browser: install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="the browser's driver is missing: pip install -e '.[dev]'")
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=BROWSER, args=[*ROOT, "--disable-dev-shm-usage"], timeout=600_000)
        yield running
        running.close()


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Any]:
    """A tab whose ``faults`` are errors on the console, failed requests and requests to other hosts."""
    tab = browser.new_page(viewport={"width": 1400, "height": 900})
    tab.set_default_timeout(600_000)  # milliseconds: a bound for a machine that is busy with the pipeline beside it
    tab.faults = []
    tab.on("console", lambda message: tab.faults.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: tab.faults.append(str(error)))
    tab.on("response", lambda response: tab.faults.append(f"{response.status} {response.url}") if response.status >= 400 else None)
    tab.on("request", lambda request: None if request.url.startswith((address, "data:")) else tab.faults.append(request.url))
    yield tab
    tab.close()


WIDTHS = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"


def test_every_page_is_legible_and_asks_nobody_else(site: Path, address: str, tab: Any) -> None:
    wide = []
    tab.goto(address)
    tab.wait_for_url("**/docs/index.html")
    for name in (page.relative_to(site).as_posix() for page in pages(site) if page != site / "index.html"):
        for width in (1400, 400):
            tab.set_viewport_size({"width": width, "height": 900})
            if width == 1400:
                tab.goto(f"{address}/{name}", wait_until="load")
            content, window = tab.evaluate(WIDTHS)
            wide += [f"{name}: {content} of {window}"] if content > window else []
    assert not tab.faults
    assert not wide


def column(tab: Any, at: int) -> list[str]:
    """The cells of a column that are shown, without what stands small behind them."""
    rows = f"[...document.querySelectorAll('table.sortable tbody tr:not([hidden]) td:nth-child({at + 1})')]"
    return list(tab.evaluate(f"{rows}.map(cell => cell.firstChild?.textContent.trim() ?? '')"))


def test_the_comparison_is_sorted_and_chosen_from(address: str, tab: Any) -> None:
    rows = comparison({"cifar10": REPOSITORY / "studies/cifar10/metrics"})
    heads = list(rows.columns)
    every = rows[rows.attack == "mean, unseen"]
    tab.goto(f"{address}/docs/comparison.html")
    assert sorted(column(tab, heads.index("defense"))) == sorted(every.defense)
    for key in ("restoration", "top1", "defense"):
        at = heads.index(key)
        values = [value if key == "defense" else f"{value:.3f}" for value in every[key]]
        button = tab.locator("table.sortable th button").nth(at)
        button.click()
        assert column(tab, at) == sorted(values, key=str.casefold)
        button.click()
        assert column(tab, at) == sorted(values, key=str.casefold, reverse=True)
    tab.get_by_label("attack").select_option("UAP")
    tab.get_by_label("network").select_option("VGG-16")
    shown = rows[(rows.attack == "UAP") & (rows.network == "VGG-16")]
    found = dict(zip(column(tab, heads.index("defense")), column(tab, heads.index("restoration")), strict=True))
    assert found == dict(zip(shown.defense, shown.restoration.map("{:.3f}".format), strict=True))
    assert not tab.faults


def test_numbers_are_sorted_as_numbers(address: str, tab: Any) -> None:
    tab.goto(f"{address}/metrics/costs.html")
    table = pd.read_csv(REPOSITORY / "metrics/costs.csv")
    at = list(table.columns).index("gradients")
    tab.locator("table.sortable th button").nth(at).click()
    assert [float(value) for value in column(tab, at)] == sorted(table.gradients)
    assert tab.locator("th[aria-sort=ascending]").text_content() == "gradients"


def test_claims_are_one_click_from_their_evidence(address: str, tab: Any) -> None:
    tab.goto(f"{address}/docs/report.html")
    claim = tab.locator("tr", has_text="units leave clean images alone")
    claim.get_by_role("link", name="table2").click()
    assert tab.url.endswith("/metrics/table2.html")
    assert "clean_accuracy" in tab.locator("table.sortable thead").text_content()
    assert not tab.faults
