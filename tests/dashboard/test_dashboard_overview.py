"""The page Overview: both questions answered for one data set, by the run that is chosen."""

from functools import partial

import numpy as np
import pages
import pytest
from pages import images, said, sheets
from synthetic import make_run

from aat_explore.dashboard import page
from aat_explore.presets import preset
from aat_explore.store import Store

opened = partial(pages.opened, "overview")


@pytest.fixture
def links(monkeypatch):
    """The pages opened by a click, with their choices."""
    found = []
    monkeypatch.setattr(page, "open_page", lambda name, **params: found.append((name, params)))
    return found


def test_a_row_of_images_an_epoch_shows_its_most_likely_picks(store):
    run = make_run(store, num_perturbed=100)
    app = opened()
    [sheet] = sheets(app)
    assert [group["label"] for group in sheet["groups"]] == [f"epoch {epoch}" for epoch in (1, 2, 3, 4)]
    first = sheet["groups"][0]["count"]
    drawn, p = run.drawn(1), run.probabilities(1)
    assert images(app)[:first] == drawn[np.argsort(-p[drawn], kind="stable")][:first].tolist()


def test_both_answers_are_in_measured_numbers(store):
    for n in (0, 100, "all"):
        make_run(store, epochs=2, num_perturbed=n)
    app = opened()
    words = said(app)
    clean, robust = page.plain("85.0%"), page.plain("7.7%")
    assert f"{page.plain('n = 100 picked by Norm:')} {clean}" in words
    assert f"{page.plain('standard training:')} {clean} {page.plain('/')} {robust}" in words
    assert page.plain("PGD-40 at ε\u00a00.3") in words
    assert "**Epoch 2**" in words
    assert page.plain("× uniform") in words
    assert len(app.get("vega_lite_chart")) == 1


def test_each_part_opens_its_page(store, links):
    run = make_run(store, epochs=2, num_perturbed=100)
    opened().button(key="open picks").click().run()
    opened().button(key="open results").click().run()
    settings = {"settings-fashion-mini": "FGSM at ε = 0.3; StdCNN, 2 epochs"}
    assert links == [
        ("picks", {"run": run.id, "epoch": 2, "view": "Filmstrip"}),
        ("results", {"dataset": "fashion-mini", "test": "PGD-40, 2,000 test images", **settings}),
    ]


def test_a_run_that_picks_nothing_is_shown_beside_the_picks_of_another_by_name(store):
    none = make_run(store, epochs=2, num_perturbed=0)
    make_run(store, epochs=2, num_perturbed=100)
    app = opened(run=none.id)
    assert page.plain("n 100 · Norm") in pages.captions(app)
    assert sheets(app)
    assert app.query_params["run"] == none.id
    assert "standard training, nothing perturbed" in said(app)


def test_with_no_picks_at_all_the_page_says_what_to_train(store):
    make_run(store, epochs=2, num_perturbed=0)
    app = opened()
    assert "has a record of what it picked" in said(app)
    assert any("aat train" in code.value for code in app.code)
    assert app.get("vega_lite_chart")


def test_without_the_images_recorded_x_adv_are_shown_and_that_is_said_in_a_line(store, monkeypatch):
    monkeypatch.delenv("AAT_DATA", raising=False)
    run = make_run(store, epochs=2, dataset="mnist", num_perturbed=100, num_recorded=8)
    app = opened()
    assert "Perturbed images x′ of recorded picks" in pages.captions(app)
    [sheet] = sheets(app)
    assert [group["count"] for group in sheet["groups"]] == [8, 8]
    assert set(images(app)[:8]) == set(run.drawn(1)[:8].tolist())
    assert not app.info


def test_what_trains_now_is_said_with_its_epoch_and_time_left(store):
    make_run(store, epochs=2, num_perturbed=0)
    config = preset("mini", epochs=400, num_perturbed=100)
    make_run(store, epochs=400, committed=2, num_perturbed=100, evaluated=False)
    with store.writer(config):
        words = said(opened())
        assert "Training now" in words
        assert page.plain("epoch 2 of 400, 13 min left") in words
    assert "Training now" not in said(opened())


def test_the_newest_local_run_is_shown_first_and_its_figure_has_no_showcase_runs(tmp_path, monkeypatch, fresh_page):
    monkeypatch.setenv("AAT_CACHE", str(tmp_path))
    for seed in range(3):
        make_run(Store(tmp_path / "showcase"), num_perturbed=100, seed=seed, epochs=2)
    local = make_run(Store(tmp_path), num_perturbed=1000, epochs=2)
    app = opened()
    assert app.query_params["run"] == local.id
    assert page.plain("n = 1,000 picked by Norm") in said(app)
    [chart] = app.get("vega_lite_chart")
    assert '"n":"100"' not in chart.proto.spec.replace(" ", "")
