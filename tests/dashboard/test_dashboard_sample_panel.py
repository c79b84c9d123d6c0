"""The panel that shows one training image in one epoch beside other things."""

import base64
import io
import re

import numpy as np
import pages
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest
from synthetic import make_run

from aat_explore import datasets
from aat_explore.dashboard import page
from aat_explore.store import Run
from aat_explore.views import diagnostics, frames, gallery

SCRIPT = """
from aat_explore.dashboard import page, sample_panel
from aat_explore.store import Store

with page.drawing():
    run = Store(page.cache_dir()).open("{run}")
    sample_panel.panel(run, page.dataset_of(run), {epoch}, {image})
"""


def panel(run: Run, epoch: int, image: int) -> AppTest:
    return pages.ran(AppTest.from_string(SCRIPT.format(run=run.id, epoch=epoch, image=image), default_timeout=60))


def pixels_shown(app: AppTest) -> list[np.ndarray]:
    found = re.findall(r"base64,([^\"]+)", pages.markup(app))
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(png)))) for png in found]


def test_a_recorded_pick_shows_its_pixels_its_sign_and_its_facts(store):
    run, data = make_run(store), datasets.load("fashion-mini")
    image = int(run.drawn(2)[5])
    app = panel(run, 2, image)
    clean, x_adv = data.train.images(np.array([image])), run.x_adv(2)[5:6]
    signs = gallery.difference(clean, x_adv, run.config.epsilon)
    expected = [np.broadcast_to(array[0].transpose(1, 2, 0), (28, 28, 3)) for array in (clean, x_adv, signs)]
    for shown, made in zip(pixels_shown(app), expected, strict=True):
        assert np.array_equal(shown, made)
    p, words = run.probabilities(2), pages.said(app)
    assert f"rank {diagnostics.ranks(p)[image]:,} of 5,000" in words
    assert frames.picks.times(float(p[image]) * 5000) in words
    before, after = run.recorded_classes(2)[5]
    assert page.plain(f"predicted {data.class_names[before]} → {data.class_names[after]}") in words
    assert "**picked**" in words


def test_an_image_that_the_epoch_did_not_pick_says_so_in_place_of_x_adv(store):
    run = make_run(store)
    image = next(row for row in range(5000) if row not in run.drawn(2))
    app = panel(run, 2, image)
    assert len(pixels_shown(app)) == 1
    assert pages.markup(app).count("not picked in epoch 2") == 2
    assert "**not picked**" in pages.said(app)


def test_a_pick_whose_image_was_not_recorded_says_so(store):
    run = make_run(store, num_recorded=3)
    app = panel(run, 2, int(run.drawn(2)[3]))
    assert len(pixels_shown(app)) == 1
    assert "x′ was not recorded" in pages.markup(app)


@pytest.mark.parametrize("fields", [{"num_perturbed": 0}, {"num_perturbed": "all"}, {"dataset": "mnist"}])
def test_runs_without_p_or_images_show_what_there_is(store, fields):
    assert not panel(make_run(store, **fields), 1, 7).error


@pytest.mark.parametrize(
    ("label", "going"),
    [("All epochs", ("sample", {"epoch": 2, "image": 7})), ("Attack lab", ("attack", {"image": 7}))],
)
def test_the_buttons_open_the_image_elsewhere(store, monkeypatch, label, going):
    run, gone = make_run(store), []
    monkeypatch.setattr(page, "open_page", lambda name, **params: gone.append((name, params)))
    app = panel(run, 2, 7)
    pages.sound(next(button for button in app.button if button.label == label).click().run())
    assert gone == [(going[0], {"run": run.id, **going[1]})]
