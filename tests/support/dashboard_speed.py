"""Measure the dashboard in headless Chromium on a made-up cache: `python tests/support/dashboard_speed.py DIR`.

DIR gets the cache (30 runs of 100 epochs, T = 55,000; about 900 MB, made once) and keeps it. AAT_DATA must lead to
Fashion-MNIST. Prints one line a target; nothing is asserted, for machines differ, and one machine from minute to
minute: each line ends with how long a loop of a million additions took before and after it.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import psutil
from playwright.sync_api import Page, sync_playwright
from synthetic import make_run

from aat_explore.store import Store

ROOT = Path(__file__).parents[2]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PORT = 8790
ADDRESS = f"http://127.0.0.1:{PORT}"
EPOCHS, NUM_TRAIN = 100, 55_000
DRAWN_PICTURE = ".tiles[data-stamp] button, [data-testid=stVegaLiteChart] svg, [data-testid=stVegaLiteChart] canvas"


def make_cache(folder: Path) -> None:
    """30 runs: five of each of six settings; those that exist are left as they are."""
    store = Store(folder)
    settings = [(0, 1.0), (100, 1.0), (1000, 1.0), (1000, 2.0), (10_000, 1.0), ("all", 1.0)]
    done = set(store.run_ids())
    for seed in range(5):
        for n, power in settings:
            fields = {"dataset": "fashion-mnist", "num_perturbed": n, "norm_power": power, "seed": seed}
            recorded = 1000 if seed == 0 else 100
            if sum(f"-s{seed}-" in run_id for run_id in done) < len(settings):
                run = make_run(store, epochs=EPOCHS, num_train=NUM_TRAIN, num_recorded=recorded, **fields)
                print(run.id, flush=True)


def settled(page: Page) -> None:
    """Wait until the script has run and, but for the form of Train, something is drawn."""
    if not page.url.split("?")[0].endswith("/train"):
        page.locator(DRAWN_PICTURE).first.wait_for()
    page.wait_for_function("!document.querySelector('[data-testid=stApp][data-test-script-state=running]')")


def timed(act: Callable[[], object], wait: Callable[[], object]) -> float:
    """Seconds from the act to the end of the wait."""
    start = time.perf_counter()
    act()
    wait()
    return time.perf_counter() - start


def steps(page: Page, run: str, images: int, show: str, number: int) -> list[float]:
    """Seconds from a press of the key to the new sheet, at random epochs."""
    page.goto(f"{ADDRESS}/picks?run={run}&epoch=50&images={images}&show={show}")
    settled(page)
    page.wait_for_timeout(2000)
    slider, found = page.get_by_role("slider", name="Epoch"), []
    keys = np.random.default_rng(0).choice(["ArrowLeft", "ArrowRight"], number)
    for key in keys:
        stamp = page.locator(".tiles").get_attribute("data-stamp")
        new = page.locator(f".tiles[data-stamp]:not([data-stamp='{stamp}'])")
        found.append(timed(lambda key=key: slider.press(str(key)), new.wait_for))
        page.wait_for_timeout(300)
    return found


def pages_of(page: Page) -> list[str]:
    """The pages by their names in the sidebar, but for the Attack lab."""
    page.goto(ADDRESS)
    settled(page)
    names = page.get_by_test_id("stSidebarNavLink").all_inner_texts()
    return [name.split("\n")[-1] for name in names if "Attack" not in name]


def switch(page: Page, name: str) -> float:
    """Seconds from a click on a page's link to its heading and first picture, its script at its end."""
    link = page.get_by_role("link", name=name, exact=True)
    there = page.get_by_role("heading", name=name, exact=True)
    seconds = timed(link.click, lambda: (there.wait_for(), settled(page)))
    page.wait_for_timeout(300)
    return seconds


def switches(page: Page, names: list[str], to: str, rounds: int) -> list[float]:
    """Seconds of switching to a page from each other in turn."""
    others, found = [name for name in names if name != to], []
    for at in range(rounds):
        switch(page, others[at % len(others)])
        found.append(switch(page, to))
    return found


def wander(page: Page, names: list[str], run: str, clicks: int) -> None:
    """Random switches, epochs and images, as an hour of clicking would bring."""
    rng = np.random.default_rng(1)
    for _ in range(clicks):
        if rng.random() < 0.4:
            switch(page, str(rng.choice(names)))
        else:
            path = str(rng.choice(["picks", "sample"]))
            page.goto(f"{ADDRESS}/{path}?run={run}&epoch={rng.integers(1, EPOCHS)}&image={rng.integers(NUM_TRAIN)}")
            settled(page)


def attacks(kind: str, rounds: int) -> list[float]:
    """Seconds of an attack on one image by StdCNN, on the CPU, as the Attack lab makes it."""
    from aat_explore import datasets
    from aat_explore.experiments import lab as attack_lab
    from aat_explore.views import frames

    store = Store(ROOT / "cache")
    run = store.open(next(name for name in store.run_ids() if "-n1000-" in name))
    data = datasets.load(run.config.dataset)
    network = attack_lab.frozen_network(run, data, run.epoch)
    image, label = data.test.images(slice(0, 1))[0], int(data.test.labels[0])
    attempts = [frames.attack.Attempt(kind, 0.3, 20, 2.5, True, seed) for seed in range(rounds)]
    return [timed(partial(attack_lab.attack, network, image, label, one), lambda: None) for one in attempts]


def payload(page: Page, path: str) -> int:
    """Bytes that the server sends over its socket to show a page from nothing."""
    received = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: received.append(len(frame))))
    page.goto(f"{ADDRESS}/{path}")
    settled(page)
    page.wait_for_timeout(1500)
    return sum(received)


def loop() -> float:
    """Milliseconds of a million additions: what the machine has for us just now."""
    start, total = time.perf_counter(), 0
    for one in range(1_000_000):
        total += one
    return 1e3 * (time.perf_counter() - start)


def report(what: str, measure: Callable[[], list[float]], target: float) -> None:
    """One line: median and 95th percentile in milliseconds beside the target."""
    before = loop()
    seconds = measure()
    p95 = float(np.percentile(seconds, 95))
    print(
        f"{what}: median {1e3 * statistics.median(seconds):.0f} ms, p95 {1e3 * p95:.0f} ms (target {1e3 * target:.0f}; "
        f"loop {before:.0f} and {loop():.0f} ms)",
        flush=True,
    )


def main() -> None:
    """Make the cache, start the server, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    folder = parser.parse_args().cache
    make_cache(folder)
    sampled = sorted(run_id for run_id in Store(folder).run_ids() if "-s0-" in run_id and "-n1000-" in run_id)[0]
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), f"--server.port={PORT}"]
    environment = {**os.environ, "AAT_CACHE": str(folder)}
    start = time.perf_counter()
    server = subprocess.Popen(
        [*command, "--server.headless=true"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
    )
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            while True:
                try:
                    page.goto(ADDRESS)
                    break
                except Exception:  # the server does not listen yet
                    time.sleep(0.05)
            settled(page)
            print(f"cold start to first chart: {time.perf_counter() - start:.1f} s (target 4; loop {loop():.0f} ms)")
            for images, target in ((200, 0.4), (1000, 0.8)):
                for show in ("clean", "adversarial"):
                    report(
                        f"epoch step, {images} {show} images",
                        partial(steps, page, sampled, images, show, 30),
                        target,
                    )
            names = pages_of(page)
            for name in names:
                report(f"switch to {name}", partial(switches, page, names, name, 16), 1.0)
            for path in ("", "picks", "sample", "dynamics", "results", "runs", "compare", "train"):
                fresh = browser.new_page()
                print(f"payload of {path or 'runs'}: {payload(fresh, path) / 1e6:.2f} MB (target 2)")
                fresh.close()
            wander(page, names, sampled, 200)
            process = psutil.Process(server.pid)
            torch = any("libtorch" in part.path for part in process.memory_maps())
            memory = process.memory_info().rss / 1e6
            print(f"memory after 200 random steps: {memory:.0f} MB (target 600); torch loaded: {torch}")
            browser.close()
    finally:
        server.kill()
    for kind in ("fgsm", "pgd"):
        report(f"attack on one image, {kind}", partial(attacks, kind, 20), 0.3)


if __name__ == "__main__":
    main()
