"""Every page in either theme can be read and worked: axe-core's rules of WCAG A and AA, and the contrast of charts."""

import tomllib
from pathlib import Path

import pytest
from network_runs import make_network_run
from synthetic import make_report, make_run

from aat_explore.records import Check
from aat_explore.views.charts.contrast import ENOUGH, contrast

AXE = pytest.importorskip("axe_playwright_python.sync_playwright").Axe().axe_script

pytestmark = pytest.mark.browser

CONFIG = Path(__file__).parents[2] / ".streamlit/config.toml"
PAGES = {
    "overview": "/",
    "picks": "/picks?beside=fashion-mini:3&captions=true&show=x′",
    "filmstrip": "/picks?view=Filmstrip",
    "map": "/picks?view=Map",
    "sample": "/sample?image=3",
    "sampler": "/dynamics",
    "results": "/results",
    "robustness": "/results?accuracy=against+ε",
    "time": "/results?accuracy=against+seconds",
    "runs": "/runs",
    "compare": "/compare",
    "train": "/train",
    "checks": "/checks",
    "attack lab": "/attack",
    "guide": "/guide",
    "guide with code": "/guide?guide=Python",
}
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}
LEAKING = Check(name="label leaking", status="fail", reason="FGSM accuracy is 93.0%.", figures={"FGSM accuracy": 0.93})
# What others draw and we cannot name or colour: a selector, and whose it is.
NOT_OURS = {
    "[class*=_brush]": "Vega-Lite draws the frame of a brush as a picture and takes no name for it",
}

DRAWN = """() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  return all("[data-testid=stApp][data-test-script-state=notRunning]").length > 0 && all("h1").length > 0
    && all("[data-stale=true], [data-testid=stSkeleton]").length === 0
    && all("[data-testid=stVegaLiteChart]").every((chart) => chart.querySelector("svg, canvas"));
}"""
VIOLATIONS = "([context, options]) => axe.run(context, options).then((results) => results.violations)"
INKS = """() => {
  const inks = {};
  const hex = (parts) => "#" + parts.map((part) => Math.round(part).toString(16).padStart(2, "0")).join("");
  const rgb = (css) => css.match(/[\\d.]+/g).map(Number);
  const ground = rgb(getComputedStyle(document.querySelector("[data-testid=stApp]")).backgroundColor);
  for (const text of document.querySelectorAll("[data-testid=stVegaLiteChart] svg text")) {
    const { fill, fillOpacity, opacity } = getComputedStyle(text);
    const [r, g, b, alpha = 1] = rgb(fill);
    const share = alpha * fillOpacity * opacity;
    const seen = [r, g, b].map((part, at) => part * share + ground[at] * (1 - share));
    if (share && text.textContent.trim()) inks[hex(seen)] ??= text.textContent;
  }
  return [hex(ground.slice(0, 3)), inks];
}"""


@pytest.fixture(scope="module")
def runs(served_store):
    """Runs that fill every page: sampling, of all samples, of none, one that fails a check; newest first."""
    for number in (0, "all"):
        make_run(served_store, epochs=3, num_perturbed=number)
    failing = make_run(served_store, epochs=3, num_perturbed=100, seed=1)
    with served_store.writer(failing.config) as writer:
        writer.add_checks(make_report(failing.config, 3, (LEAKING,)))
    return [make_network_run(served_store, epochs=3, evaluated=True, num_perturbed=100), failing]


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_can_be_read_and_worked(tab, runs, theme):
    tab.set_viewport_size({"width": 1440, "height": 900})
    tab.emulate_media(color_scheme=theme)
    colours = tomllib.loads(CONFIG.read_text())["theme"][theme]
    found = []
    for name, address in PAGES.items():
        tab.goto(f"{address}{'&' if '?' in address else '?'}run={runs[0].id}")
        tab.wait_for_function(DRAWN)
        ground, inks = tab.evaluate(INKS)
        assert ground == colours["backgroundColor"]  # which the server read beside app.py: it was started elsewhere
        found += [
            f"{name}: {ink} of {text!r} in a chart" for ink, text in inks.items() if contrast(ink, ground) < ENOUGH
        ]
        tab.evaluate(AXE)
        found += [
            f"{name}: {broken['id']}: {node['html'][:200]} at {node['target']}; {node['failureSummary']}"
            for broken in tab.evaluate(VIOLATIONS, [{"exclude": list(NOT_OURS)}, RULES])
            for node in broken["nodes"]
        ]
    assert not found, "\n".join(found)


# --- Keys ------------------------------------------------------------------------------------------------------------

FOCUSED = """() => {
  let it = document.activeElement;
  while (it.shadowRoot?.activeElement) it = it.shadowRoot.activeElement;
  return it.dataset.at === undefined ? it.ariaLabel ?? it.innerText : `tile ${it.dataset.at}`;
}"""


def test_the_images_are_a_few_keys_from_the_start_and_one_opens_at_the_side(tab, runs):
    tab.goto(f"/picks?run={runs[0].id}")
    tab.locator(".tiles button").first.wait_for()
    tab.wait_for_function(DRAWN)
    tab.keyboard.press("Tab")
    assert tab.evaluate(FOCUSED) == "Skip to main content"
    tab.keyboard.press("Enter")
    for _ in range(3):
        tab.keyboard.press("Tab")
        if tab.evaluate(FOCUSED) == "tile 0":
            break
    for key, reached in (("ArrowRight", "tile 1"), ("End", "tile 99"), ("Home", "tile 0"), ("ArrowRight", "tile 1")):
        tab.keyboard.press(key)
        assert tab.evaluate(FOCUSED) == reached
    row = tab.locator(".tiles button").nth(1).get_attribute("data-id")
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"**beside=fashion-mini**{row}**")
    tab.locator(f".tiles button[data-id='{row}'][aria-current=true]").wait_for()


def test_arrow_keys_in_a_filmstrip_pass_over_the_tiles_that_its_rows_hide(tab, runs):
    tab.goto(f"/picks?run={runs[0].id}&view=Filmstrip&size=L")
    tab.wait_for_function(DRAWN)
    tab.locator(".tiles button").first.focus()
    tab.keyboard.press("ArrowDown")
    below = tab.evaluate(FOCUSED)
    assert below != "tile 0"
    assert tab.locator(".row:nth-child(2) button").first.get_attribute("data-at") == below.removeprefix("tile ")
    tab.keyboard.press("ArrowLeft")  # the last that the row above shows
    last = tab.locator(f".tiles button[data-at='{tab.evaluate(FOCUSED).removeprefix('tile ')}']").bounding_box()
    row = tab.locator(".row:nth-child(1) .cells").bounding_box()
    assert row["y"] <= last["y"] < last["y"] + last["height"] <= row["y"] + row["height"] + 1


def test_arrow_keys_step_the_epoch_after_its_slider_was_dragged(tab, runs):
    tab.goto(f"/picks?run={runs[0].id}&epoch=1")
    tab.wait_for_function(DRAWN)
    track = tab.get_by_test_id("stSlider").first.bounding_box()
    thumb = tab.get_by_role("slider", name="Epoch").bounding_box()
    middle = thumb["y"] + thumb["height"] / 2
    tab.mouse.move(thumb["x"] + thumb["width"] / 2, middle)
    tab.mouse.down()
    tab.mouse.move(track["x"] + track["width"] / 2, middle, steps=4)
    tab.mouse.up()
    tab.wait_for_url("**epoch=2**")
    for key, epoch in (("ArrowRight", 3), ("ArrowLeft", 2), ("Shift+ArrowLeft", 1), ("Shift+ArrowRight", 2)):
        tab.keyboard.press(key)
        tab.wait_for_url(f"**epoch={epoch}**")
