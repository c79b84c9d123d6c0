"""What the measurements of the dashboard share: servers, a browser, clocks, and one line of results per target."""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Locator, Page, sync_playwright

ROOT = Path(__file__).parents[1]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PORT = 8790
ADDRESS = f"http://127.0.0.1:{PORT}"
SIZE = {"width": 1440, "height": 900}
AAT = [sys.executable, "-c", "import sys; from aat_explore.cli import main; sys.exit(main())"]
TILE, MAP = ".tiles[data-stamp] button", ".map[data-stamp]"
PICTURE = f"{TILE}, {MAP}, [data-testid=stVegaLiteChart] svg, [data-testid=stVegaLiteChart] canvas"
WITHOUT_PICTURES = {"train", "checks", "guide"}
WATCH = """element => {
  addEventListener("keydown", () => { element.pressed = performance.now(); }, true);
  const stamped = () => { element.drawn = performance.now(); };
  new MutationObserver(stamped).observe(element, { attributeFilter: ["data-stamp"] });
}"""


# --- Servers and browsers --------------------------------------------------------------------------------------------


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's chromium without a window."""
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)


@contextmanager
def started(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """An `aat` command on the port measured here; its whole process group is ended afterwards."""
    process = subprocess.Popen(
        [*AAT, *command, "--port", str(PORT)], cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        while answers():  # the port is free for the next one only when the server has gone
            time.sleep(0.1)


def answers() -> bool:
    """Whether a server listens."""
    try:
        urllib.request.urlopen(f"{ADDRESS}/_stcore/health", timeout=2).close()
    except OSError:
        return False
    return True


def opened(page: Page, path: str = "") -> None:
    """Go to a path as soon as the server answers."""
    while not answers():
        time.sleep(0.02)
    page.goto(f"{ADDRESS}/{path}")


def settled(page: Page) -> None:
    """Wait until the script has run and, on pages with pictures, something is drawn."""
    if page.url.split("?")[0].rsplit("/", 1)[-1] not in WITHOUT_PICTURES:
        page.locator(PICTURE).first.wait_for()
    page.wait_for_function("!document.querySelector('[data-testid=stApp][data-test-script-state=running]')")


# --- Clocks ----------------------------------------------------------------------------------------------------------


def timed(act: Callable[[], object], wait: Callable[[], object]) -> float:
    """Seconds from the act to the end of the wait."""
    start = time.perf_counter()
    act()
    wait()
    return time.perf_counter() - start


def key_presses(page: Page, drawing: Locator, number: int) -> list[float]:
    """Seconds from a press of the epoch slider's key to the new drawing, by the browser's clock.

    Playwright's own would add the time between its looks at the page, up to 0.1 s.
    """
    drawing.wait_for()
    page.wait_for_timeout(2000)
    drawing.evaluate(WATCH)
    slider, seconds = page.get_by_role("slider", name="Epoch"), []
    for key in np.random.default_rng(0).choice(["ArrowLeft", "ArrowRight"], number):
        stamp = drawing.get_attribute("data-stamp")
        slider.press(str(key))
        drawing.and_(page.locator(f":not([data-stamp='{stamp}'])")).wait_for()
        seconds.append(drawing.evaluate("element => (element.drawn - element.pressed) / 1000"))
        page.wait_for_timeout(300)
    return seconds


def loop() -> float:
    """Milliseconds of a million additions: what the machine has for us just now."""
    start, total = time.perf_counter(), 0
    for one in range(1_000_000):
        total += one
    return 1e3 * (time.perf_counter() - start)


# --- Results ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """What is measured, in seconds unless `unit` says otherwise, and how small or large it should be."""

    name: str
    limit: float
    unit: str = "s"
    at_least: bool = False
    percentile: float = 50


def report(target: Target, rounds: int, measure: Callable[[], Sequence[float]]) -> None:
    """Print a line: the median of all rounds, each round's value, and the target beside it."""
    before = loop()
    values = [float(np.percentile(measure(), target.percentile)) for _ in range(rounds)]
    median = statistics.median(values)
    met = median >= target.limit if target.at_least else median <= target.limit
    each = ", ".join(f"{value:.3g}" for value in values)
    of = "" if target.percentile == 50 else f" p{target.percentile:g}"
    sign = "≥" if target.at_least else "≤"
    print(
        f"{'met   ' if met else 'MISSED'} {target.name}{of}: {median:.3g} {target.unit} "
        f"(target {sign} {target.limit:g}; rounds {each}; loop {before:.0f} and {loop():.0f} ms)",
        flush=True,
    )
