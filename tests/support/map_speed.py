"""Measure the map of samples in headless Chromium on a made-up run: `python tests/support/map_speed.py DIR`.

DIR gets the run (100 epochs with scores, T = 55,000; about 120 MB, made once) and keeps it. AAT_DATA must lead to
Fashion-MNIST. Prints one line a target; nothing is asserted, as in dashboard_speed.py.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from dashboard_speed import FLAGS, ROOT, report, timed
from playwright.sync_api import Page, sync_playwright
from synthetic import make_run

from aat_explore.store import Store

PORT = 8791
ADDRESS = f"http://127.0.0.1:{PORT}"
EPOCHS, NUM_TRAIN = 100, 55_000
DRAWN = ".map[data-stamp]"


def the_run(folder: Path) -> str:
    """The id of the run in the cache, which is made if there is none."""
    store = Store(folder)
    if not store.run_ids():
        make_run(store, epochs=EPOCHS, num_train=NUM_TRAIN, dataset="fashion-mnist", num_perturbed=1000)
    return store.run_ids()[0]


def loads(page: Page, path: str, what: str, rounds: int) -> list[float]:
    """Seconds from nothing to a page that has drawn `what`, Streamlit's own files in the browser's cache."""
    seconds = []
    for _ in range(rounds):
        page.goto("about:blank")
        seconds.append(timed(lambda: page.goto(f"{ADDRESS}/{path}"), page.locator(what).first.wait_for))
        page.wait_for_timeout(1000)
    return seconds


def paints(page: Page, run: str, axes: str, rounds: int) -> list[float]:
    """Seconds from a click on Map to the map, coming from the sheet."""
    page.goto(f"{ADDRESS}/picks?run={run}&epoch=50&view=Map&axes={axes}")
    page.locator(DRAWN).wait_for()
    page.wait_for_timeout(2000)
    seconds = []
    for _ in range(rounds):
        page.get_by_role("radio", name="Sheet").click()
        page.locator(".tiles[data-stamp] button").first.wait_for()
        page.wait_for_timeout(1000)
        seconds.append(timed(page.get_by_role("radio", name="Map").click, page.locator(DRAWN).wait_for))
        page.wait_for_timeout(1000)
    return seconds


WATCH = """map => {
  addEventListener("keydown", () => { map.pressed = performance.now(); }, true);
  new MutationObserver(() => { map.rested = performance.now(); }).observe(map, { attributeFilter: ["data-stamp"] });
}"""


def steps(page: Page, run: str, axes: str, number: int) -> list[float]:
    """Seconds from a press of the key to the points at rest where the new epoch has them, by the browser's clock.

    Playwright would add the time between its own looks at the page, up to 0.1 s.
    """
    page.goto(f"{ADDRESS}/picks?run={run}&epoch=50&view=Map&axes={axes}")
    plot = page.locator(DRAWN)
    plot.wait_for()
    page.wait_for_timeout(2000)
    plot.evaluate(WATCH)
    slider, seconds = page.get_by_role("slider", name="Epoch"), []
    for key in np.random.default_rng(0).choice(["ArrowLeft", "ArrowRight"], number):
        stamp = plot.get_attribute("data-stamp")
        slider.press(str(key))
        page.locator(f".map:not([data-stamp='{stamp}'])").wait_for()
        seconds.append(plot.evaluate("map => (map.rested - map.pressed) / 1000"))
        page.wait_for_timeout(400)
    return seconds


def main() -> None:
    """Make the run, start the server, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    folder = parser.parse_args().cache
    run = the_run(folder)
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), f"--server.port={PORT}"]
    server = subprocess.Popen(
        [*command, "--server.headless=true"],
        cwd=ROOT,
        env={**os.environ, "AAT_CACHE": str(folder)},
        stdout=subprocess.DEVNULL,
    )
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            while True:
                try:
                    page.goto(f"{ADDRESS}/guide")
                    break
                except Exception:  # the server does not listen yet
                    time.sleep(0.05)
            page.wait_for_timeout(5000)
            address = f"picks?run={run}&epoch=50&view=Map"
            report("first map since the server's start, page loaded anew", partial(loads, page, address, DRAWN, 1), 1.5)
            report("map, page loaded anew", partial(loads, page, address, DRAWN, 10), 1.5)
            for axes in ("Data map", "Scores"):
                report(f"first paint from the sheet, {axes}", partial(paints, page, run, axes, 10), 1.5)
                report(f"epoch step, {axes}", partial(steps, page, run, axes, 30), 0.4)
            browser.close()
    finally:
        server.kill()


if __name__ == "__main__":
    main()
