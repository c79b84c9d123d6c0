"""Every page in either theme can be read and worked: axe-core's rules of WCAG A and AA, and the contrast of charts."""

import tomllib
from pathlib import Path

import pytest
from network_runs import make_network_run
from synthetic import make_report, make_run

from aat_explore.records import Check
from aat_explore.views.charts.contrast import ENOUGH, contrast

sync_playwright = pytest.importorskip("axe_playwright_python.sync_playwright")

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CONFIG = Path(__file__).parents[2] / ".streamlit/config.toml"
PAGES = {
    "overview": "/",
    "picks": "/picks?beside=fashion-mini+3",
    "picks with captions": "/picks?captions=true&show=x′",
    "filmstrip": "/picks?view=Filmstrip",
    "map": "/picks?view=Map",
    "sample": "/sample?image=3",
    "sampler": "/dynamics",
    "results": "/results",
    "robustness": "/results?accuracy=against+ε",
    "time": "/results?accuracy=against+time",
    "runs": "/runs",
    "compare": "/compare",
    "train": "/train",
    "checks": "/checks",
    "attack lab": "/attack",
    "guide": "/guide?guide=Python",
}
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}
LEAKING = Check(name="label leaking", status="fail", reason="FGSM accuracy is 93.0%.", figures={"FGSM accuracy": 0.93})
# What others draw and we cannot name or colour: a selector, and whose it is.
NOT_OURS = {}

DRAWN = """() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  return all("[data-testid=stApp][data-test-script-state=notRunning]").length > 0 && all("h1").length > 0
    && all("[data-stale=true], [data-testid=stSkeleton]").length === 0
    && all("[data-testid=stVegaLiteChart]").every((chart) => chart.querySelector("svg, canvas"));
}"""
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


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_can_be_read_and_worked(tab, runs, theme):
    tab.set_viewport_size({"width": 1440, "height": 900})
    tab.emulate_media(color_scheme=theme)
    colours = tomllib.loads(CONFIG.read_text())["theme"][theme]
    axe = sync_playwright.Axe()
    found = []
    for name, address in PAGES.items():
        tab.goto(f"{address}{'&' if '?' in address else '?'}run={runs[0].id}")
        tab.wait_for_function(DRAWN)
        ground, inks = tab.evaluate(INKS)
        assert ground == colours["backgroundColor"]  # which the server read beside app.py: it was started elsewhere
        found += [
            f"{name}: {ink} of {text!r} in a chart" for ink, text in inks.items() if contrast(ink, ground) < ENOUGH
        ]
        results = axe.run(tab, context={"exclude": [[selector] for selector in NOT_OURS]}, options=RULES)
        found += [
            f"{name}: {broken['id']}: {node['html'][:200]} at {node['target']}; {node['failureSummary']}"
            for broken in results.response["violations"]
            for node in broken["nodes"]
        ]
    assert not found, "\n".join(found)
