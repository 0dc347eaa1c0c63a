"""notebooks/explore.ipynb in a real JupyterLab and a browser without a window: knobs are moved, and the picture changes."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.first_steps import BROWSER
from regen_lib.core.images import save_images
from tests.repository import REPOSITORY
from tests.suite import build_study

SECONDS = 600  # a bound for a machine that is busy with the pipeline beside it
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/lab\?token=\w+")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab in a folder with a small study and the notebook."""
    pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
    folder = tmp_path_factory.mktemp("lab")
    save_images(folder / "data/images.safetensors", {"test": build_study(folder / "data").images})
    (folder / "notebooks").mkdir()
    shutil.copy(REPOSITORY / "notebooks/explore.ipynb", folder / "notebooks")
    own = {name: str(folder / name.lower()) for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")}
    environment = {**os.environ, **own, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "jupyter",
        "lab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        "--port=0",
        f"--notebook-dir={folder}",
    ]
    log = folder / "log"
    with log.open("wb") as file, subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=file) as server:
        try:
            yield waited_for(log)
        finally:
            server.terminate()


def waited_for(log: Path) -> str:
    """The server's address, once it says it."""
    for _ in range(2 * SECONDS):
        if found := ADDRESS.search(log.read_text()):
            return found[0].replace("/lab?", "/lab/tree/notebooks/explore.ipynb?")
        time.sleep(0.5)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Any]:
    """The notebook, all its cells run."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if BROWSER is None:
        pytest.skip("no Chromium is installed")
    with driver.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"], timeout=1000 * SECONDS)
        opened = browser.new_page(viewport={"width": 1300, "height": 1100})
        opened.set_default_timeout(1000 * SECONDS)
        opened.goto(address)
        opened.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        opened.get_by_text(re.compile(r"\| Idle$")).wait_for()  # before, JupyterLab would ask which kernel to take
        opened.get_by_role("menuitem", name="Run", exact=True).click()
        opened.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        opened.locator("img.widget-image").wait_for()
        yield opened
        browser.close()


def shot(page: Any) -> bytes:
    """The picture as it is drawn."""
    kept: bytes = page.locator("img.widget-image").screenshot()
    if folder := os.environ.get("SCREENSHOTS"):  # to look at them
        page.screenshot(path=f"{folder}/{time.monotonic_ns()}.png", full_page=True)
    return kept


def knob(page: Any, name: str) -> Any:
    """The widget with that label."""
    label = page.locator(".widget-label", has_text=re.compile(f"^{name}$"))
    return page.locator(".jupyter-widgets", has=label).filter(has_not=page.locator(".jupyter-widgets")).last


def moved(page: Any, move: Any) -> bytes:
    """The picture after ``move``, once it is another."""
    source = page.locator("img.widget-image").get_attribute("src")
    move()
    page.wait_for_function("old => document.querySelector('img.widget-image').src != old", arg=source)
    page.wait_for_function("() => document.querySelector('img.widget-image').complete")
    return shot(page)


def test_knobs_change_the_picture(page: Any) -> None:
    seen = [shot(page)]
    handles = [knob(page, name).locator(".noUi-handle") for name in ("image", "ξ", "share", "filter")]
    seen += [moved(page, partial(handle.press, "ArrowRight")) for handle in handles]
    chosen = {"attack": "spgd", "network": "two", "rival": "jpeg", "layer": "conv2_1"}
    lists = {knob(page, name).locator("select"): option for name, option in chosen.items()}
    seen += [moved(page, partial(each.select_option, option)) for each, option in lists.items()]
    seen.append(moved(page, lambda: page.get_by_role("button", name="masked").click()))
    assert len(set(seen)) == len(seen)


def test_a_wrong_choice_is_a_line_and_no_traceback(page: Any) -> None:
    knob(page, "layer").locator("select").select_option("conv1_2")
    page.get_by_role("button", name="regenerated").click()
    page.get_by_text("conv1_2 has no unit: choose masked").wait_for()
    study = knob(page, "study").locator("input")
    study.fill("nowhere")
    study.press("Enter")
    page.get_by_text("nowhere/data/images.safetensors is missing").wait_for()
    assert page.locator("img.widget-image").is_hidden()
    assert page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert json.dumps(page.locator(".jp-OutputArea").all_inner_texts()).count("Traceback") == 0
