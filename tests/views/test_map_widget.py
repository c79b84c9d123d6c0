"""The map of all samples in notebooks: what the browser is given and sends back, and the browser itself."""

import io

import numpy as np
import pytest
from PIL import Image
from synthetic import make_run

from aat_explore import datasets
from aat_explore.errors import AATError
from aat_explore.store import Store, light_copy
from aat_explore.views import frames
from aat_explore.views.canvas.points import OF_RUN, OF_SCORES
from aat_explore.views.widgets import MapExplorer

MINI = datasets.load("fashion-mini")
COUNT = 5000
ARRAYS = ("values", "picked", "selected", "labels")


@pytest.fixture
def run(store):
    return make_run(store, epochs=4, num_perturbed=300)


def places(shown):
    """The coordinates that the browser has, float32 (2, T)."""
    return np.frombuffer(shown.map.values, "<f4").reshape(2, -1)


def flagged(bits):
    """The rows whose bit is set."""
    return np.flatnonzero(np.unpackbits(np.frombuffer(bits, np.uint8), count=COUNT, bitorder="little")).tolist()


def encircle(shown, rows):
    """What the browser sends after a lasso."""
    shown.map._handle_custom_msg({"selected": True}, [memoryview(np.array(rows, "<u4").tobytes())])


def messages_of(shown, monkeypatch):
    """The names of the traits in each message to the browser from now on."""
    sent = []
    monkeypatch.setattr(
        shown.map, "send_state", lambda key=None: sent.append({key} if isinstance(key, str) else set(key or ()))
    )
    return sent


# --- What is shown ---------------------------------------------------------------------------------------------------


def test_the_map_is_the_data_map_with_the_picks_of_the_epoch(run):
    shown = MapExplorer(run, MINI)
    of_run = frames.samples_map.data_map(run)
    for epoch in (1, 3):
        shown.epoch.value = epoch
        assert np.array_equal(places(shown), [of_run["variability"], of_run["confidence"]])
        assert flagged(shown.map.picked) == sorted(run.drawn(epoch).tolist())
        assert shown.map.head["epoch"] == epoch
    assert np.array_equal(np.frombuffer(shown.map.labels, np.uint8), MINI.train.labels)
    assert "5,000 samples, 300 of them picked" in shown.words.value


def test_any_two_scores_are_axes(run):
    shown = MapExplorer(run, MINI)
    shown.axes.value, shown.x.value, shown.y.value, shown.epoch.value = OF_SCORES, "loss", "entropy", 2
    assert np.array_equal(places(shown), [run.scores(2)["loss"], run.scores(2)["entropy"]])
    assert (shown.x.layout.display, shown.y.layout.display) == ("", "")
    shown.axes.value = OF_RUN
    assert (shown.x.layout.display, shown.y.layout.display) == ("none", "none")


def test_an_embedding_is_an_axis_where_one_is_given(run):
    points = np.random.default_rng(0).normal(size=(COUNT, 2)).astype(np.float32)
    shown = MapExplorer(run, MINI, embeddings={"umap": points})
    assert MapExplorer(run, MINI).axes.options == (OF_RUN, OF_SCORES)
    shown.axes.value = "Embedding, UMAP"
    assert np.array_equal(places(shown), points.T)
    with pytest.raises(AATError, match=r"embeddings\['pca'\] has the shape \(7, 2\); run=.* needs \(5000, 2\)"):
        MapExplorer(run, MINI, embeddings={"pca": points[:7]})
    with pytest.raises(AATError, match="'tsne'"):
        MapExplorer(run, MINI, embeddings={"tsne": points})


def test_a_class_leaves_out_the_others_and_colours_can_be_classes(run):
    shown = MapExplorer(run, MINI)
    shown.classes.value, shown.colour.value = "Bag", "class"
    assert np.array_equal(~np.isnan(places(shown)), np.stack([MINI.train.labels == 8] * 2))
    assert [label for label, _ in shown.map.head["legend"]] == ["Bag"]


def test_without_the_data_set_there_are_points_but_no_classes_and_no_images(run):
    shown = MapExplorer(run)
    assert shown.map.labels == b""
    assert len(shown.classes.options) == len(shown.colour.options) == 1
    shown.rows = [3]
    assert shown.sheet.png is None
    assert flagged(shown.map.selected) == [3]


def test_the_next_epoch_of_a_map_that_stands_still_sends_no_coordinates(run, monkeypatch):
    shown = MapExplorer(run, MINI)
    sent = messages_of(shown, monkeypatch)
    shown.epoch.value = 2
    assert sent == [{"picked", "head"}]
    shown.rows = [1]
    assert sent[1:] == [{"selected", "head"}]


# --- Selection -------------------------------------------------------------------------------------------------------


def test_a_lasso_selects_its_samples_and_shows_their_images(run):
    shown = MapExplorer(run, MINI)
    encircle(shown, [4999, 7, 3])
    assert shown.rows == [3, 7, 4999]
    assert flagged(shown.map.selected) == [3, 7, 4999]
    assert np.array_equal(shown.state.images[""], MINI.train.images(np.array([3, 7, 4999])))
    assert "3 selected." in shown.words.value
    shown.epoch.value = 2
    assert flagged(shown.map.selected) == [3, 7, 4999]
    shown.sheet._handle_custom_msg({"selected": 1}, [])
    assert shown.rows == [3, 4999]
    encircle(shown, [])
    assert shown.rows == flagged(shown.map.selected) == []
    assert shown.sheet.png is None


def test_rows_can_be_set_but_not_to_what_is_no_sample(run):
    shown = MapExplorer(run, MINI)
    shown.rows = np.array([9, 2])
    assert shown.rows == flagged(shown.map.selected) == [2, 9]
    for row in (COUNT, -1):
        with pytest.raises(AATError, match=rf"rows={row} is not a sample of run=.*; choose from 0 to 4999"):
            shown.rows = [1, row]
        assert shown.rows == [2, 9]


def test_messages_that_point_nowhere_are_ignored(run):
    shown = MapExplorer(run, MINI)
    clicked = []
    shown.on_click(clicked.append)
    encircle(shown, [COUNT])
    odd = [memoryview(b"abc")]
    for message, buffers in (({"selected": True}, []), ({"selected": True}, odd), ({"selected": 3}, odd), ("x", odd)):
        shown.map._handle_custom_msg(message, buffers)
    for row in (COUNT, -1, "0", None):
        shown.map._handle_custom_msg({"clicked": row}, [])
    assert shown.rows == clicked == []
    shown.map._handle_custom_msg({"clicked": 12}, [])
    assert clicked == [12]


# --- Nothing to show -------------------------------------------------------------------------------------------------


def test_an_epoch_without_p_is_words_and_gone_with_the_next(run, monkeypatch):
    probabilities = type(run).probabilities
    shown = MapExplorer(run, MINI)
    monkeypatch.setattr(type(run), "probabilities", lambda self, e: None if e == 1 else probabilities(self, e))
    shown.axes.value, shown.x.value = OF_SCORES, "p"
    shown.epoch.value = 2
    assert len(places(shown)[0]) == COUNT
    shown.epoch.value = 1
    assert "Epoch 1 has no p (warm-up, or not recorded); choose another epoch." in shown.words.value
    assert shown.map.head == {}
    assert "image/png" not in shown._repr_mimebundle_()
    shown.epoch.value = 3
    assert shown.map.head["epoch"] == 3


def test_epochs_outside_the_run_are_clipped(run):
    shown = MapExplorer(run, MINI)
    shown.epoch.value = 99
    assert shown.map.head["epoch"] == shown.play.value == 4


def test_runs_without_picks_or_scores_say_so(tmp_path):
    store = Store(tmp_path)
    none, every = (make_run(store, epochs=2, num_perturbed=n) for n in (0, "all"))
    assert "n = 0" in MapExplorer(none, MINI).words.value
    assert "has no scores to place its samples by" in MapExplorer(every, MINI).words.value
    points = np.ones((COUNT, 2), np.float32)
    assert flagged(MapExplorer(every, MINI, embeddings={"pca": points}).map.picked) == list(range(COUNT))


def test_a_summary_only_copy_says_so(tmp_path):
    run = make_run(Store(tmp_path / "a"), epochs=2, num_perturbed=300)
    light_copy(run, tmp_path / "b")
    assert "holds a summary only" in MapExplorer(Store(tmp_path / "b").open(run.id), MINI).words.value


# --- Where no kernel runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", ["picked", "class"])
def test_the_still_picture_has_a_mark_for_the_picked_and_a_larger_one_for_the_selected(run, colour):
    shown = MapExplorer(run, MINI)
    shown.colour.value = colour
    pixels = lambda: np.asarray(Image.open(io.BytesIO(shown._picture())).convert("RGB"))  # noqa: E731
    before, orange = pixels(), np.array([0xE0, 0x8A, 0x00])
    assert before.shape == (520, 860, 3)
    assert not (before[40:460] == orange).all(axis=-1).any()
    shown.rows = [5]
    assert (pixels()[40:460] == orange).all(axis=-1).sum() == 25


# --- The browser -----------------------------------------------------------------------------------------------------

PAGE = """async ({ esm, state }) => {
  document.body.innerHTML = "<div id='widget' style='width: 800px'></div>";
  const url = URL.createObjectURL(new Blob([esm], { type: "text/javascript" }));
  const { default: widget } = await import(url);
  const take = (state) => {
    for (const [name, value] of Object.entries(state)) {
      values[name] = Array.isArray(value) ? new DataView(Uint8Array.from(value).buffer) : value;
    }
  };
  const values = {}, heard = {};
  window.sent = [];
  take(state);
  window.receive = (state) => { take(state); heard["change:head"](); };
  widget.render({ el: document.getElementById("widget"), model: {
    get: (name) => values[name], on: (what, act) => { heard[what] = act; }, off() {},
    send: (content, _, buffers) =>
      window.sent.push([content, (buffers || []).map((buffer) => [...new Uint8Array(buffer)])]),
  } });
}"""


def state_of(shown):
    """What Jupyter sends of the map, with bytes as lists."""
    texts = {name: getattr(shown.map, name) for name in ("head", "_html", "_style")}
    return texts | {name: list(getattr(shown.map, name)) for name in ARRAYS}


@pytest.mark.browser
def test_a_lasso_in_the_browser_arrives_as_rows_and_comes_back_as_marks(browser, run):
    shown = MapExplorer(run, MINI)
    tab = browser.new_page(viewport={"width": 900, "height": 700})
    try:
        tab.evaluate(PAGE, {"esm": shown.map._esm, "state": state_of(shown)})
        tab.locator(".map[data-stamp]").wait_for()
        tab.locator(".map .readout").get_by_text("of 5,000 in view").wait_for()
        box = tab.locator(".map .over").bounding_box()
        left, right = box["x"] + 70, box["x"] + box["width"] / 2
        top, bottom = box["y"] + 10, box["y"] + box["height"] - 48
        tab.keyboard.down("Shift")
        tab.mouse.move(left, top)
        tab.mouse.down()
        for x, y in ((right, top), (right, bottom), (left, bottom), (left, top + 2)):
            tab.mouse.move(x, y, steps=3)
        tab.mouse.up()
        tab.keyboard.up("Shift")
        tab.wait_for_function("window.sent.length === 1")
        [[content, [packed]]] = tab.evaluate("window.sent")
        shown.map._handle_custom_msg(content, [memoryview(bytes(packed))])
        variability = places(shown)[0]
        assert 0 < len(shown.rows) < COUNT
        assert shown.rows == np.flatnonzero(variability <= variability[shown.rows].max()).tolist()  # all on the left
        assert tab.locator(".map .legend").get_by_text("selected").count() == 0
        tab.evaluate("state => window.receive(state)", state_of(shown))
        tab.locator(".map .legend").get_by_text("selected").wait_for()
    finally:
        tab.close()
