"""Six things that people do first after `aat demo`, as clicks on what they see; what they asked for must be in view."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from browsing import ROOT, SIZE, TILE, opened, settled
from playwright.sync_api import Browser, Locator, Page

from aat_explore.cli.commands.demo import NUM_PERTURBED, SETTINGS
from aat_explore.store import Store

sys.path.append(str(ROOT / "tests" / "support"))
from synthetic import make_run

EPOCHS = SETTINGS["epochs"]
CHART = "[data-testid=stVegaLiteChart]"
Click = Callable[[Page], None]


def demo_like(folder: Path) -> None:
    """Make runs with the settings of the demo's."""
    for n in NUM_PERTURBED:
        make_run(Store(folder), num_perturbed=n, **SETTINGS)


def _link(name: str) -> Click:
    return lambda page: page.get_by_test_id("stTopNavLink").and_(page.get_by_role("link", name=name)).click()


def _epoch_5(page: Page) -> None:
    track = page.get_by_test_id("stSlider").filter(has_text="Epoch").first
    box = track.get_by_role("slider").bounding_box()
    rail = track.bounding_box()
    assert box is not None
    assert rail is not None
    thumb = box["width"]  # the track ends half a thumb before the slider's edges
    x = rail["x"] + thumb / 2 + (rail["width"] - thumb) * 4 / (EPOCHS - 1)
    page.mouse.click(x, box["y"] + box["height"] / 2)
    page.wait_for_url("**epoch=5**")


def _start(page: Page) -> None:
    page.get_by_role("button", name="Start", exact=True).click()


def _first_image(page: Page) -> None:
    page.locator(TILE).first.click()


# Of each task: the clicks from the start page, and what must then be whole in the window.
TASKS: dict[str, tuple[list[Click], Callable[[Page], list[Locator]]]] = {
    "the picks of epoch 5": (
        [_link("Picks"), _epoch_5],
        lambda page: [page.locator(TILE).first, page.locator(CHART).nth(0), page.locator(CHART).nth(1)],
    ),
    "how the picks change": (
        [],
        lambda page: [page.locator(TILE).first, page.locator(".tiles .label", has_text=f"epoch {EPOCHS}")],
    ),
    "clean and PGD accuracy against n": (
        [],
        lambda page: [page.locator(CHART).and_(page.get_by_label("Clean and robust accuracy against n"))],
    ),
    "one image over the epochs": (
        [_first_image],
        lambda page: [page.get_by_alt_text(re.compile(r"^Training image \d+, clean")), page.locator(CHART).first],
    ),
    "compare two runs": (
        [_link("Compare")],
        lambda page: [page.locator("table").first, page.locator(CHART).first, page.locator(CHART).nth(3)],
    ),
    "train and watch its picks": (
        [_link("Train"), _start],
        lambda page: [
            page.get_by_text(re.compile(r"^\d+ of \d+ epochs; about .* left$")),
            page.locator(".tiles .label", has_text=re.compile(r"^epoch \d+$")).first,
        ],
    ),
}


def steps_of(browser: Browser, task: str) -> list[float]:
    """The clicks that it takes; raises AssertionError if what was asked for is not whole in the window at the end."""
    clicks, wanted = TASKS[task]
    page = browser.new_page(viewport=SIZE)
    opened(page)
    settled(page)
    page.wait_for_timeout(1500)
    for click in clicks:
        click(page)
        settled(page)
        page.wait_for_timeout(1500)
    for what in wanted(page):
        what.wait_for(timeout=120_000)
        box = what.bounding_box()
        assert box is not None, task
        assert box["y"] >= 0, task
        assert box["y"] + box["height"] <= SIZE["height"], (task, box)
    page.close()
    return [float(len(clicks))]
