"""The dashboard in a real browser: what only a browser can get wrong."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from synthetic import make_run

from aat_explore.store import Store

pytestmark = pytest.mark.browser

APP = Path(__file__).parents[1] / "app.py"
CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE = 30  # seconds; the machine may be busy


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    """A cache with a run to look at and another that is the default."""
    store = Store(tmp_path_factory.mktemp("cache"))
    make_run(store, num_perturbed=100)
    return make_run(store, epochs=5, num_perturbed=1000)


@pytest.fixture(scope="module")
def address(chosen):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(APP), "--server.port", str(port), "--server.headless=true"]
    cache = ["--", "--cache-dir", str(chosen.path.parent.parent)]
    environment = {name: value for name, value in os.environ.items() if name != "AAT_CACHE"}
    with subprocess.Popen([*command, *cache], cwd=APP.parent, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for(f"http://127.0.0.1:{port}/_stcore/health")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def _wait_for(url: str) -> None:
    for _ in range(10 * PATIENCE):
        try:
            with urllib.request.urlopen(url):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    pytest.fail(f"{url} did not answer in {PATIENCE} s")


@pytest.fixture
def tab(address):
    """A tab of Debian's chromium that may only talk to this machine; fails the test if it tried to go further."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine; apt install chromium")
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        tab = browser.new_page(viewport={"width": 1280, "height": 1200}, base_url=address)
        tab.set_default_timeout(1000 * PATIENCE)
        asked = []
        tab.on("request", lambda request: asked.append(request.url))
        yield tab
        browser.close()
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


def test_moving_the_epoch_slider_changes_the_picture_and_the_link(tab, chosen):
    tab.goto(f"/picks?run={chosen.id}&epoch=2")
    first = _sheet(tab)
    tab.get_by_role("slider", name="Epoch").press("ArrowRight")
    tab.wait_for_url("**epoch=3**")
    second = _sheet(tab, first)
    tab.keyboard.press("Shift+ArrowLeft")
    tab.wait_for_url("**epoch=2**")
    assert _sheet(tab, second) == first


def _sheet(tab, other: str = "none") -> str:
    """The hash of the sheet of images shown, once it is not `other` and its picture can be seen."""
    tiles = tab.locator(f".tiles[data-stamp]:not([data-stamp='{other}'])")
    tiles.locator("button").first.wait_for()
    width = tiles.evaluate(
        "async tiles => { const image = new Image(); "
        "image.src = getComputedStyle(tiles).getPropertyValue('--sheet').slice(4, -1).replaceAll('\"', ''); "
        "await image.decode(); return image.naturalWidth; }"
    )
    assert width > 500
    return tiles.get_attribute("data-stamp")


def test_playing_steps_through_the_epochs_to_the_last_and_stops(tab, chosen):
    tab.goto(f"/picks?run={chosen.id}&epoch=2")
    _sheet(tab)
    tab.get_by_role("button", name="Play Shortcut P").click()
    tab.wait_for_url(lambda url: "epoch=" not in url or "epoch=5" in url)  # the last is the default
    tab.get_by_role("button", name="Play Shortcut P").wait_for()
    assert tab.get_by_role("slider", name="Epoch").evaluate("it => it.ariaValueNow ?? it.value") == "5"


def test_dragging_across_the_histogram_narrows_the_range_of_p_and_the_sheet(tab, chosen):
    tab.goto(f"/picks?run={chosen.id}&epoch=2")
    before = _sheet(tab)
    box = tab.get_by_test_id("stVegaLiteChart").first.locator("svg, canvas").first.bounding_box()
    tab.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.4 * box["height"])
    tab.mouse.down()
    tab.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.5 * box["height"], steps=5)
    tab.mouse.up()
    tab.wait_for_url("**p=-**")
    assert _sheet(tab, before) != before
    assert tab.get_by_text("shown below").count() == 2


def test_clicking_a_class_shows_that_class_alone(tab, chosen):
    tab.goto(f"/picks?run={chosen.id}&epoch=2")
    before = _sheet(tab)
    bars = tab.get_by_test_id("stVegaLiteChart").nth(1).locator("path[aria-label*='class: Bag']")
    bars.first.click()
    tab.wait_for_url("**class=Bag**")
    _sheet(tab, before)
    titles = tab.locator(".tiles button").evaluate_all("tiles => tiles.map(tile => tile.title)")
    assert titles
    assert all("Bag" in title for title in titles)


def test_the_chosen_run_and_epoch_are_kept_from_page_to_page(tab, chosen):
    tab.goto(f"/picks?run={chosen.id}&epoch=2")
    shown = _sheet(tab)
    for page in ("Runs", "Accuracy vs n", "Robustness vs ε"):
        tab.get_by_role("link", name=page).click()
        tab.get_by_role("heading", name=page, exact=True).wait_for()
        tab.locator("canvas, [data-testid=stVegaLiteChart] svg").first.wait_for()
        assert tab.get_by_test_id("stException").count() == 0
    tab.get_by_role("link", name="Picks").click()
    assert _sheet(tab) == shown


def test_a_click_on_an_image_opens_it_and_the_link_says_which(tab, chosen):
    tab.goto(f"/picks?run={chosen.id}&epoch=2")
    _sheet(tab)
    tile = tab.locator(".tiles button").nth(2)
    image = tile.get_attribute("title").split(",")[0].lstrip("#")
    tile.click()
    tab.get_by_role("heading", name="Sample", exact=True).wait_for()
    tab.wait_for_url(f"**/sample?**image={image}**")
    assert tab.get_by_role("spinbutton", name="Training image").input_value() == image
