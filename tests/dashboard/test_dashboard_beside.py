"""The sample at the side of the Picks page: opened by a click, kept by links, closed again."""

import re
from functools import partial

import numpy as np
import pages
import pytest
from pages import markup, said, sheets, sound
from synthetic import make_run

from aat_explore.dashboard import page, sheet

opened = partial(pages.opened, "picks")
ALT = re.compile(r'<img [^>]*alt="Training image (\d+), clean"')


@pytest.fixture
def clicks(monkeypatch):
    """Sheets clicked, by key: the position is told once, as by the browser between two runs of the page."""
    waiting, draw = {}, sheet.draw

    def clicked(images, tiles, key, **kwargs):
        if key in waiting:
            kwargs["on_open"](waiting.pop(key))
        return draw(images, tiles, key, **kwargs)

    monkeypatch.setattr(sheet, "draw", clicked)
    return waiting


def beside(app) -> list[int]:
    """Rows of the clean images shown beside the sheet."""
    return [int(row) for row in ALT.findall(markup(app))]


def clicked(app, clicks, key, at):
    clicks[key] = at
    sound(app.run())
    return sound(app.run())


def test_a_click_on_a_tile_shows_its_sample_and_the_sheet_stays(store, clicks, monkeypatch):
    run = make_run(store, num_perturbed=300)
    monkeypatch.setattr(page, "open_page", lambda name, **params: pytest.fail(f"opened {name}"))
    app = opened(epoch=2)
    assert not beside(app)
    before = sheets(app)[0]["titles"]
    app = clicked(app, clicks, "picks", 7)
    assert beside(app) == [run.drawn(2)[7]]
    assert sheets(app)[0]["titles"] == before
    assert sheets(app)[0]["opened"] == run.drawn(2)[7]
    assert app.query_params["beside"] == f"fashion-mini:{run.drawn(2)[7]}"
    app.button(key="panel close").click().run()
    assert not beside(sound(app))
    assert sheets(app)[0]["opened"] is None
    assert "beside" not in app.query_params


@pytest.mark.parametrize(("view", "key"), [("Filmstrip", "filmstrip"), ("Selection", "selection"), ("Map", "lassoed")])
def test_in_every_view_a_click_shows_the_sample(store, clicks, view, key):
    make_run(store, num_perturbed=300)
    app = opened(view=view, rows="fashion-mini:3-9")
    expected = next(given for given in sheets(app))["ids"][2]
    assert beside(clicked(app, clicks, key, 2)) == [expected]


def test_the_sample_follows_the_epoch(store):
    run = make_run(store, num_perturbed=300)
    row = int(run.drawn(2)[0])
    for epoch in (1, 2):
        app = opened(epoch=epoch, beside=f"fashion-mini:{row}")
        assert f"Epoch {epoch}: **{'picked' if row in run.drawn(epoch) else 'not picked'}**" in said(app)


@pytest.mark.parametrize("value", ["fashion-mini:5000", "fashion-mini:x", "fashion-mini:-1", "7000", "fashion-mini:²"])
def test_a_sample_that_is_nowhere_is_dropped_with_a_note(store, value):
    make_run(store, num_perturbed=300)
    app = opened(beside=value)
    assert "which is no training image of this run" in said(app)
    assert not beside(app)
    assert "beside" not in app.query_params


def test_a_sample_of_another_data_set_is_not_shown(store):
    make_run(store, num_perturbed=300)
    assert not beside(opened(beside="mnist:3"))


# --- From there to Sample --------------------------------------------------------------------------------------------


SCRIPT = """
import streamlit as st
from aat_explore.dashboard import page
from aat_explore.dashboard.pages import picks, sample

with page.drawing():
    (sample if st.session_state.get("on sample") else picks).show()
"""


def test_previous_and_next_on_sample_follow_the_sheet_that_it_was_opened_from(store, clicks):
    run = make_run(store, num_perturbed=300)
    app = pages.AppTest.from_string(SCRIPT, default_timeout=60)
    app = pages.ran(app, epoch=2, order="by p")
    shown = pages.images(app)
    assert np.array_equal(shown, run.drawn(2)[np.argsort(-run.probabilities(2)[run.drawn(2)], kind="stable")][:200])
    app = clicked(app, clicks, "picks", 4)
    app.session_state["on sample"] = True
    app.query_params.clear()  # as on opening another page
    app = sound(app.run())
    assert app.number_input(key="image").value == shown[4]
    assert "5 of 300 (picks of epoch 2 by p)" in said(app)
    for _ in range(2):
        sound(next(button for button in app.button if button.label == "Next").click().run())
    assert app.number_input(key="image").value == shown[6]
