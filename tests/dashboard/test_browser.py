"""The dashboard in a real browser: what only a browser can get wrong."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from synthetic import make_run

from aat_explore import datasets
from aat_explore.views.names import full_name

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chosen(served_store):
    """A run to look at, in a cache where another is the default."""
    make_run(served_store, num_perturbed=100)
    return make_run(served_store, epochs=5, num_perturbed=1000)


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
    tab.get_by_role("button", name="Play", exact=True).click()
    tab.wait_for_url("**epoch=5**")
    tab.get_by_role("button", name="Play", exact=True).wait_for()
    assert _epoch(tab) == "5"


def _epoch(tab) -> str:
    return tab.get_by_role("slider", name="Epoch").evaluate("it => it.ariaValueNow ?? it.value")


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
    tab.get_by_text("■ shown").wait_for()  # in the legend of the charts, which come after the sheet


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
    for page in ("Runs", "Results", "Sampler"):
        tab.get_by_role("link", name=page, exact=True).click()
        tab.get_by_role("heading", name=page, exact=True).wait_for(state="attached")
        tab.locator("canvas, [data-testid=stVegaLiteChart] svg").first.wait_for()
        assert tab.get_by_test_id("stException").count() == 0
    tab.get_by_role("link", name="Picks", exact=True).click()
    assert _sheet(tab) == shown


def test_back_returns_to_the_page_as_it_was_by_one_step(tab, chosen):
    tab.goto(f"/picks?run={chosen.id}&epoch=2")
    before = _sheet(tab)
    tab.get_by_role("slider", name="Epoch").press("ArrowRight")
    tab.wait_for_url("**epoch=3**")
    shown = _sheet(tab, before)
    tab.locator(".tiles button").nth(2).click()
    tab.get_by_role("button", name="All epochs").click()
    tab.wait_for_url("**/sample?**image=**")
    tab.go_back()
    tab.wait_for_url("**/picks?**epoch=3**")
    assert _sheet(tab) == shown


def test_a_click_on_an_image_shows_it_beside_the_sheet_and_opens_it_from_there(tab, chosen):
    tab.goto(f"/picks?run={chosen.id}&epoch=2")
    _sheet(tab)
    tab.wait_for_timeout(1000)  # on a busy machine the sheet of another epoch can come first
    image = tab.locator(".tiles button").nth(2).get_attribute("title").split(",")[0].lstrip("#")
    tab.locator(f".tiles button[title^='#{image},']").click()
    tab.wait_for_url(f"**/picks?**beside=fashion-mini**{image}**")
    assert tab.get_by_alt_text(f"Training image {image}, clean").bounding_box()["y"] < 300
    tab.locator(f".tiles button[title^='#{image},'][aria-current=true]").wait_for()
    assert tab.locator(".tiles button").first.bounding_box()["y"] < 200
    tab.get_by_role("button", name="All epochs").click()
    tab.get_by_role("heading", name="Sample", exact=True).wait_for(state="attached")
    tab.wait_for_url(f"**/sample?**image={image}**")
    assert tab.get_by_role("spinbutton", name="Training image").input_value() == image


@pytest.mark.parametrize("page", ["picks", "sample", "dynamics", "compare", "runs"])
def test_no_chart_is_wider_than_its_place(tab, chosen, page):
    tab.set_viewport_size({"width": 1440, "height": 900})
    tab.goto(f"/{page}?run={chosen.id}&epoch=2&image=3")
    tab.locator("[data-testid=stVegaLiteChart] :is(svg, canvas)").last.wait_for()
    tab.wait_for_function("!document.querySelector('[data-testid=stApp][data-test-script-state=running]')")
    widths = tab.get_by_test_id("stVegaLiteChart").evaluate_all(
        "charts => charts.map(it => [it.querySelector('svg, canvas').getBoundingClientRect().right, "
        "document.querySelector('[data-testid=stMainBlockContainer]').getBoundingClientRect().right])"
    )
    assert widths
    assert all(chart <= place for chart, place in widths), widths


# --- Guide -----------------------------------------------------------------------------------------------------------


def test_a_link_in_the_guide_opens_the_other_page_in_the_same_tab_at_its_heading(tab):
    tab.goto("/guide?guide=Architecture")
    tab.get_by_role("heading", name="Architecture", exact=True).wait_for()
    tab.locator("a[href$='#custom-images']").first.click()
    tab.wait_for_url("**/guide?guide=Data*#custom-images")
    tab.get_by_role("heading", name="Custom images", exact=True).wait_for()
    assert len(tab.context.pages) == 1


def test_the_guides_picture_is_drawn(tab):
    tab.goto("/guide")
    picture = tab.get_by_test_id("stImage").locator("img")
    picture.wait_for()
    assert picture.evaluate("async image => { await image.decode(); return image.naturalWidth; }") > 1000


# --- Links -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_copied_link_opens_the_same_picks_for_someone_else(new_tab, chosen):
    tab = new_tab()
    tab.goto(f"/picks?run={chosen.id}")
    of_run = _sheet(tab)
    tab.get_by_role("slider", name="Epoch").press("Home")
    of_first_epoch = _sheet(tab, of_run)
    tab.get_by_role("slider", name="Epoch").press("ArrowRight")
    _sheet(tab, of_first_epoch)
    _pick(tab, "Classes", "Bag")
    tab.keyboard.press("Escape")  # the list stays open for more
    tab.wait_for_url("**class=Bag**")
    _pick(tab, "Order", "by p")
    tab.wait_for_url(f"**run={chosen.id}**")
    for part in ("epoch=2", "class=Bag", "order=by"):
        tab.wait_for_url(f"**{part}**")

    dataset, drawn, p = datasets.load("fashion-mini"), chosen.drawn(2), chosen.probabilities(2)
    bags = drawn[dataset.train.labels[drawn] == dataset.class_names.index("Bag")]
    expected = bags[np.argsort(-p[bags], kind="stable")].tolist()
    assert 1 < len(expected) <= 200
    someone_else = new_tab()
    someone_else.goto(tab.url)
    for one in (tab, someone_else):
        for place, image in (("first", expected[0]), ("last", expected[-1])):
            one.locator(f".tiles button:{place}-child[title^='#{image},']").wait_for()
        titles = one.locator(".tiles button").evaluate_all("tiles => tiles.map(tile => tile.title)")
        assert [int(title[1:].split(",")[0]) for title in titles] == expected
    assert someone_else.url == tab.url
    assert someone_else.get_by_role("heading", name="Picks", exact=True).count() == 1
    someone_else.get_by_role("button", name=full_name(chosen.config)).wait_for()
    assert _epoch(someone_else) == "2"
    someone_else.get_by_role("button", name="Remove Bag").wait_for()
    assert someone_else.get_by_role("button", name="Remove").all_inner_texts() == [""]
    assert someone_else.get_by_role("combobox", name="Order").input_value() == "by p"


IDLE = "!document.querySelector('[data-testid=stApp][data-test-script-state=running]')"


def _pick(tab, label: str, option: str) -> None:
    """Choose from a list when the page is at rest: a list that is drawn anew under a click loses it."""
    tab.wait_for_function(IDLE)
    tab.get_by_role("combobox", name=label).click()
    tab.get_by_role("option", name=option, exact=True).click()
    tab.wait_for_function(IDLE)


# --- Downloads -------------------------------------------------------------------------------------------------------


def test_the_numbers_of_the_curves_are_the_runs_metrics(tab, chosen):
    tab.goto(f"/runs?run={chosen.id}")
    name, path = _downloaded(tab, tab, "Numbers, CSV")
    assert chosen.id in name
    assert name.endswith(".csv")
    metrics = chosen.metrics()
    found = pd.read_csv(path).set_index(["kind", "measure"])
    for measure, column in {
        ("loss", "all"): "loss",
        ("loss", "perturbed"): "loss_drawn",
        ("accuracy", "clean"): "clean_accuracy_val",
        ("accuracy", "robust (PGD)"): "robust_accuracy_val",
    }.items():
        rows = found.loc[[measure]]
        assert rows["epoch"].tolist() == [1, 2, 3, 4, 5]
        assert rows["value"].tolist() == pytest.approx(metrics[column].tolist(), rel=1e-12)


def test_the_numbers_of_a_filtered_chart_are_of_the_drawn_and_of_those_shown(tab, chosen):
    tab.goto(f"/picks?run={chosen.id}&epoch=2&class=Bag")
    _, path = _downloaded(tab, _class_chart(tab), "Numbers, CSV")
    counts = pd.read_csv(path).pivot(index="label", columns="group", values="count")
    labels = datasets.load("fashion-mini").train.labels
    assert counts["all"].tolist() == np.bincount(labels).tolist()
    assert counts["drawn"].tolist() == np.bincount(labels[chosen.drawn(2)], minlength=10).tolist()
    assert counts["shown"].tolist() == [int(label == 8) * counts["drawn"][8] for label in range(10)]


def test_pictures_of_a_chart_are_a_png_for_print_and_an_svg(tab, chosen):
    pytest.importorskip("vl_convert")
    tab.goto(f"/picks?run={chosen.id}&epoch=2")
    name, path = _downloaded(tab, _class_chart(tab), "Image, PNG")
    assert name.endswith(".png")
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    with Image.open(path) as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 2
    name, path = _downloaded(tab, _class_chart(tab), "Image, SVG")
    assert name.endswith(".svg")
    root = ElementTree.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "Ankle boot" in list(root.itertext())


def _class_chart(tab):
    return tab.locator("[class*=st-key-figure-classes]")


def _downloaded(tab, near, words: str) -> tuple[str, Path]:
    """Name and place of the file that a button of the first chart in `near` gives."""
    button = tab.get_by_role("button", name=words)
    if not button.is_visible():
        near.get_by_test_id("stPopoverButton").filter(has_text="download").first.click()
    with tab.expect_download() as waiting:
        button.click()
    return waiting.value.suggested_filename, waiting.value.path()
