"""Measure the dashboard in headless Chromium: `python bench/dashboard.py DIR [--rounds 3] [--only WORD]`.

DIR gets two caches, made once and kept: 30 runs of 100 epochs with T = 55,000, and one such run alone, whose scores the
map shows. AAT_DATA must lead to Fashion-MNIST. Prints a line per target; nothing is asserted, for machines
differ, and one machine from minute to minute: each line ends with how long a loop of a million additions took before
and after it.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
from browsing import (
    ADDRESS,
    MAP,
    ROOT,
    SIZE,
    TILE,
    Target,
    chromium,
    key_presses,
    opened,
    report,
    settled,
    started,
    timed,
)
from playwright.sync_api import Browser, Page
from tasks import TASKS, demo_like, steps_of

from aat_explore.store import Store

sys.path.append(str(ROOT / "tests" / "support"))
from synthetic import make_run

EPOCHS, NUM_TRAIN = 100, 55_000
PATIENCE = 120_000  # milliseconds for what may miss its target by far
SIZES = {(1440, 900): 100, (1280, 720): 60, (1024, 768): 40}
CHARTED = 2  # sizes, the first ones, at which p and the class mix are whole, too
PATHS = ("", "picks", "sample", "dynamics", "results", "runs", "compare", "train")
Measured = list[tuple[Target, Callable[[], list[float]]]]


# --- Caches ----------------------------------------------------------------------------------------------------------


def make_cache(folder: Path) -> str:
    """30 runs: five of each of six settings; those that exist stay. Returns the id of one that picks."""
    store = Store(folder)
    settings = [(0, 1.0), (100, 1.0), (1000, 1.0), (1000, 2.0), (10_000, 1.0), ("all", 1.0)]
    done = store.run_ids()
    for seed in range(5):
        for n, power in settings:
            fields = {"dataset": "fashion-mnist", "num_perturbed": n, "norm_power": power, "seed": seed}
            if sum(f"-s{seed}-" in run_id for run_id in done) < len(settings):
                recorded = 1000 if seed == 0 else 100
                print(
                    make_run(store, epochs=EPOCHS, num_train=NUM_TRAIN, num_recorded=recorded, **fields).id, flush=True
                )
    return next(run_id for run_id in sorted(store.run_ids()) if "-n1000-p1-" in run_id and "-s0-" in run_id)


def make_map_cache(folder: Path) -> str:
    """One run with scores; returns its id."""
    store = Store(folder)
    if not store.run_ids():
        make_run(store, epochs=EPOCHS, num_train=NUM_TRAIN, dataset="fashion-mnist", num_perturbed=1000)
    return str(store.run_ids()[0])


# --- The first screen, starts, steps ---------------------------------------------------------------------------------


def visible(browser: Browser, run: str, size: tuple[int, int], *, charts: bool) -> list[float]:
    """How many picked images are whole in the window; none if p or the class mix is not, where they should be."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    opened(page, f"picks?run={run}&epoch=50")
    settled(page)
    page.locator("[data-testid=stVegaLiteChart] :is(svg, canvas)").nth(1).wait_for()
    page.wait_for_timeout(1500)
    whole = """(elements, [width, height]) => elements.filter(element => {
      const box = element.getBoundingClientRect();
      return box.width > 0 && box.top >= 0 && box.left >= 0 && box.bottom <= height && box.right <= width;
    }).length"""
    images = page.locator(TILE).evaluate_all(whole, list(size))
    drawn = page.locator("[data-testid=stVegaLiteChart]").evaluate_all(whole, list(size))
    page.close()
    return [float(images if drawn >= 2 or not charts else 0)]


def cold_start(browser: Browser, cache: Path, run: str) -> list[float]:
    """Seconds from `aat app` to the first picked image, in a browser that was never here."""
    context = browser.new_context(viewport=SIZE)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    start = time.perf_counter()
    with started(["app", "--cache-dir", str(cache)]):
        opened(page, f"picks?run={run}&epoch={EPOCHS}")
        page.locator(TILE).first.wait_for()
        seconds = time.perf_counter() - start
        context.close()
    return [seconds]


def demo_start(browser: Browser) -> list[float]:
    """Seconds from `aat demo` in an empty cache to the first picture on the page it serves."""
    context = browser.new_context(viewport=SIZE)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with started(["demo", "--cache-dir", folder]):
            opened(page)
            page.locator(TILE).first.wait_for()
            seconds = time.perf_counter() - start
            context.close()
    return [seconds]


def sheet_steps(page: Page, run: str, images: int, show: str) -> list[float]:
    """Seconds from a press of a key to the next epoch's images."""
    opened(page, f"picks?run={run}&epoch=50&images={images}&show={show}")
    return key_presses(page, page.locator(".tiles[data-stamp]"), 30)


def map_steps(page: Page, run: str, axes: str) -> list[float]:
    """Seconds from a press of a key to the points at rest where the next epoch has them, its picks lit up."""
    opened(page, f"picks?run={run}&epoch=50&view=Map&axes={axes}")
    return key_presses(page, page.locator(MAP), 30)


def map_paints(page: Page, run: str, axes: str) -> list[float]:
    """Seconds from a click on Map to the map, coming from the sheet."""
    opened(page, f"picks?run={run}&epoch=50&view=Map&axes={axes}")
    page.locator(MAP).wait_for()
    page.wait_for_timeout(2000)
    seconds = []
    for _ in range(10):
        page.get_by_role("radio", name="Sheet").click()
        page.locator(TILE).first.wait_for()
        page.wait_for_timeout(1000)
        seconds.append(timed(page.get_by_role("radio", name="Map").click, page.locator(MAP).wait_for))
        page.wait_for_timeout(1000)
    return seconds


# --- Pages -----------------------------------------------------------------------------------------------------------


def page_names(page: Page) -> list[str]:
    """The pages by their names in the navigation, but for the Attack lab, which waits for torch."""
    opened(page)
    settled(page)
    page.wait_for_timeout(1000)
    more(page)
    names = page.locator("[data-testid=stTopNavLink], [data-testid=stTopNavDropdownLink]").all_inner_texts()
    page.keyboard.press("Escape")
    return [name.split("\n")[-1] for name in names if "Attack" not in name]


def more(page: Page) -> None:
    """Open the menu of pages that have no place of their own in the navigation."""
    page.get_by_test_id("stTopNavSection").click()
    page.get_by_test_id("stTopNavDropdownLink").first.wait_for()


def switch(page: Page, name: str) -> float:
    """Seconds from a click on a page's link to its heading and first picture, its script at its end."""
    link = page.get_by_test_id("stTopNavLink").and_(page.get_by_role("link", name=name, exact=True))
    if not link.count():
        more(page)
        link = page.get_by_role("menuitem", name=name, exact=True)
    there = page.get_by_role("heading", name=name, exact=True)
    seconds = timed(link.click, lambda: (there.wait_for(state="attached"), settled(page)))
    page.wait_for_timeout(300)
    return seconds


def switches(page: Page, names: list[str], to: str) -> list[float]:
    """Seconds of switching to a page from each other in turn."""
    opened(page)
    settled(page)
    others, seconds = [name for name in names if name != to], []
    for at in range(16):
        switch(page, others[at % len(others)])
        seconds.append(switch(page, to))
    return seconds


def payload(browser: Browser, path: str) -> list[float]:
    """Megabytes that the server sends over its socket to show a page from nothing."""
    page, received = browser.new_page(viewport=SIZE), []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: received.append(len(frame))))
    page.goto(f"{ADDRESS}/{path}")
    settled(page)
    page.wait_for_timeout(1500)
    page.close()
    return [sum(received) / 1e6]


def memory(server: psutil.Process) -> list[float]:
    """Megabytes of the server and its children; refuses torch, which no page but the Attack lab may load."""
    processes = [server, *server.children(recursive=True)]
    assert not any("libtorch" in part.path for process in processes for part in process.memory_maps())
    return [sum(process.memory_info().rss for process in processes) / 1e6]


def on_large_cache(browser: Browser, run: str, server: psutil.Process) -> Measured:
    """All that is measured on the cache of 30 runs."""
    page = browser.new_page(viewport=SIZE)
    measured: Measured = []
    for at, (size, limit) in enumerate(SIZES.items()):
        target = Target(f"images whole at {size[0]}×{size[1]}", limit, "images", at_least=True)
        measured.append((target, partial(visible, browser, run, size, charts=at < CHARTED)))
    for images, limit in ((200, 0.3), (1000, 0.6)):
        for show in ("clean", "x′"):
            target = Target(f"epoch step, {images} {show} images", limit, percentile=95)
            measured.append((target, partial(sheet_steps, page, run, images, show)))
    names = page_names(page)
    for name in names:
        measured.append((Target(f"switch to {name}", 0.7, percentile=95), partial(switches, page, names, name)))
    for path in PATHS:
        measured.append((Target(f"payload of /{path}", 2, "MB"), partial(payload, browser, path)))
    return [*measured, (Target("memory", 600, "MB"), partial(memory, server))]


def main() -> None:
    """Make the caches, start servers, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="measure what has this word in its name")
    asked = parser.parse_args()

    def run_all(measured: Measured, rounds: int = asked.rounds) -> None:
        for target, measure in measured:
            if asked.only in target.name:
                report(target, rounds, measure)

    large, of_map = asked.folder / "large", asked.folder / "map"
    run, mapped = make_cache(large), make_map_cache(of_map)
    with chromium() as browser:
        run_all([(Target("cold aat app to the first picked image", 4), partial(cold_start, browser, large, run))])
        run_all([(Target("aat demo to the first picture", 15), partial(demo_start, browser))])
        with started(["app", "--cache-dir", str(large)]) as process:
            run_all(on_large_cache(browser, run, psutil.Process(process.pid)))
        with started(["app", "--cache-dir", str(of_map)]):
            page = browser.new_page(viewport=SIZE)
            for axes in ("Data map", "Scores"):
                run_all([(Target(f"map, first paint, {axes}", 1.5), partial(map_paints, page, mapped, axes))])
                steps = partial(map_steps, page, mapped, axes)
                run_all([(Target(f"map, epoch step, {axes}", 0.4, percentile=95), steps)])
        with tempfile.TemporaryDirectory() as small:  # a new one each time: one of the tasks trains a run into it
            demo_like(Path(small))
            with started(["app", "--cache-dir", small]):
                clicks = [(Target(f"clicks: {task}", 2, "clicks"), partial(steps_of, browser, task)) for task in TASKS]
                run_all(clicks, rounds=1)


if __name__ == "__main__":
    main()
