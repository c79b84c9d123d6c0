"""The map in a real browser: points are drawn, found, encircled and followed over the epochs."""

import numpy as np
import pytest
from synthetic import make_run

pytestmark = pytest.mark.browser

INK = """canvas => {
  const pixels = new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
  const counts = {};
  for (const pixel of pixels) counts[pixel] = (counts[pixel] || 0) + 1;
  return Object.keys(counts).length;
}"""


@pytest.fixture(scope="module")
def run(served_store):
    return make_run(served_store, epochs=3, num_perturbed=300)


def map_of(tab, run, **query):
    """The canvas of the map, once it is drawn."""
    words = "".join(f"&{key}={value}" for key, value in query.items())
    tab.goto(f"/picks?run={run.id}&epoch=1&view=Map{words}")
    tab.locator(".map[data-stamp]").wait_for()
    return tab.locator(".map .over")


def drag(tab, box, keys=()):
    """Around the middle of the map."""
    left, top, right, bottom = (
        box["x"] + box["width"] * share if across else box["y"] + box["height"] * share
        for share, across in ((0.15, True), (0.05, False), (0.95, True), (0.8, False))
    )
    for key in keys:
        tab.keyboard.down(key)
    tab.mouse.move(left, top)
    tab.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top + 2)):
        tab.mouse.move(x, y, steps=3)
    tab.mouse.up()
    for key in keys:
        tab.keyboard.up(key)


def test_points_are_drawn_and_a_step_lights_up_the_picks_of_the_next_epoch(tab, run):
    over = map_of(tab, run, axes="Scores")
    assert tab.locator(".map .points").evaluate(INK) > 10
    assert "300 of them picked" in over.get_attribute("aria-label")
    tab.get_by_role("slider", name="Epoch").press("ArrowRight")
    tab.locator(".map[data-epoch='2']").wait_for()
    tab.locator(".map .legend").get_by_text("picked in epoch 2").wait_for()


def test_keys_and_buttons_zoom_and_show_all(tab, run):
    over, readout = map_of(tab, run), tab.locator(".map .readout")
    readout.get_by_text("of 5,000 in view").wait_for()
    whole = readout.inner_text()
    over.focus()
    for _ in range(4):
        tab.keyboard.press("+")
    tab.locator(".map .tip").get_by_text("#").first.wait_for()  # names the point nearest to the centre
    assert int(readout.inner_text().split(" ")[0].replace(",", "")) < int(whole.split(" ")[0].replace(",", ""))
    tab.get_by_role("button", name="All", exact=True).click()
    tab.locator(".map .readout", has_text=whole).wait_for()


def test_a_lasso_selects_what_it_encircles_and_shows_it_beside_the_map(tab, run):
    box = map_of(tab, run).bounding_box()
    drag(tab, box, ["Shift"])
    tab.locator(".tiles[data-stamp] button").first.wait_for()
    tab.locator(".map .legend").get_by_text("selected").wait_for()
    tab.get_by_text("selected, the first 40 shown").wait_for()


def test_a_point_under_the_pointer_is_named_and_a_click_shows_its_sample(tab, run):
    over = map_of(tab, run)
    box, tip = over.bounding_box(), tab.locator(".map .tip")
    for share in np.linspace(0.2, 0.9, 60):
        tab.mouse.move(box["x"] + share * box["width"], box["y"] + 0.6 * box["height"])
        if tip.is_visible():
            break
    row = tip.inner_text().split(" ")[0].lstrip("#")
    tab.mouse.click(box["x"] + share * box["width"], box["y"] + 0.6 * box["height"])
    tab.wait_for_url(f"**/picks?**beside=fashion-mini**{row}**")
    tab.get_by_alt_text(f"Training image {row}, clean").wait_for()


def test_a_double_click_opens_nothing(tab, run):
    over = map_of(tab, run)
    over.focus()
    tab.keyboard.press("ArrowRight")
    tab.locator(".map .tip").get_by_text("#").first.wait_for()
    over.dblclick(position={"x": 300, "y": 300})
    tab.wait_for_timeout(600)  # longer than a click waits for a second one
    assert "beside" not in tab.url
