"""The explorers of notebook 02 in a real JupyterLab: what only a browser and a kernel together can get wrong."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from servers import serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "02_which_samples_get_picked.ipynb"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Where a JupyterLab answers that holds a copy of the notebook, as long as the tests of this file run."""
    root, own = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("own")
    shutil.copy(NOTEBOOK, root)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token="]
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in ("AAT_CACHE", "AAT_DATA")}
    environment |= {name: str(own / name) for name in folders}
    command = [sys.executable, "-m", "jupyter", "lab", *flags, f"--ServerApp.root_dir={root}"]
    with serving(command, f"http://127.0.0.1:{port}/api", env=environment, stderr=subprocess.DEVNULL):
        yield f"http://127.0.0.1:{port}"


def test_sliding_playing_clicking_and_selecting_change_what_is_shown(tab):
    tab.goto(f"/lab/tree/{NOTEBOOK.name}")
    tab.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    tab.locator(".jp-NotebookPanel-toolbar").get_by_text("Python 3 (ipykernel)").wait_for()
    tab.get_by_role("menuitem", name="Run", exact=True).click()
    tab.get_by_text("Run All Cells", exact=True).click()
    pictures, words = tab.locator(".aat-sheet img"), tab.locator(".widget-html-content")
    words.nth(1).filter(has_text="Image ").wait_for()
    words.nth(0).filter(has_text="Epoch 1:").wait_for()
    first = pictures.nth(0).get_attribute("src")
    assert pictures.nth(0).evaluate("async it => { await it.decode(); return it.naturalWidth; }") > 500

    tab.locator(".widget-slider .noUi-handle").first.press("ArrowRight")
    words.nth(0).filter(has_text="Epoch 2:").wait_for()
    assert pictures.nth(0).get_attribute("src") != first

    tab.locator(".widget-play button").first.click()
    words.nth(0).filter(has_text="Epoch 15:").wait_for()

    tile = tab.locator(".aat-sheet button").nth(1)
    image = tile.get_attribute("title").split(",")[0].lstrip("#")
    tile.click()
    words.nth(1).filter(has_text=f"Image {image},").wait_for()
    tab.locator(".jp-OutputArea .vega-embed svg, .jp-OutputArea .vega-embed canvas").first.wait_for()

    points = tab.locator(".map[data-stamp]")
    points.scroll_into_view_if_needed()
    points.locator(".readout").get_by_text("in view").wait_for()
    points.locator(".over").press("s")  # the points in view; a drag would have to wait until the page stands still
    words.filter(has_text="selected").filter(has_text="Map of training samples").wait_for()
    points.locator(".legend").get_by_text("selected").wait_for()
