"""The Sample page on normal, empty, partial and damaged caches, by Streamlit's own test runner."""

import collections
import re
import shutil
from functools import partial

import pages
import pytest
import streamlit as st
from pages import HOSTILE, captions, markup, said, sheets, sound
from streamlit.testing.v1 import AppTest
from synthetic import make_run

from aat_explore import datasets
from aat_explore.dashboard import page, sheet
from aat_explore.dashboard.pages.sample import NEIGHBOURS
from aat_explore.dashboard.picks_sheet import OUTCOME_COLOURS
from aat_explore.store import Run
from aat_explore.views import diagnostics, frames

opened = partial(pages.opened, "sample")


@pytest.fixture
def clicks(monkeypatch):
    """Sheets clicked, by key: the position is told once, to the next sheet drawn under that key."""
    waiting, draw = {}, sheet.draw

    def clicked(images, tiles, key, **kwargs):
        draw(images, tiles, key, **kwargs)
        return waiting.pop(key, None)

    monkeypatch.setattr(sheet, "draw", clicked)
    return waiting


def portraits(app: AppTest) -> list[str]:
    """The alternative texts of the clean images shown."""
    return re.findall(r'<img [^>]*alt="([^"]*, clean)"', markup(app))


def charted(app: AppTest) -> int:
    return len(app.get("vega_lite_chart"))


def press(app: AppTest, label: str) -> AppTest:
    return sound(next(button for button in app.button if button.label == label).click().run())


def offered(app: AppTest) -> set[str]:
    return {button.label for button in app.button}


# --- Every cache -----------------------------------------------------------------------------------------------------


def test_an_empty_cache_gets_the_command_to_type(store):
    app = opened()
    assert f"aat demo --no-app --cache-dir {store.root}" in [code.value for code in app.code]
    assert not charted(app)


def test_a_full_cache_is_shown_without_a_word_of_complaint(store):
    run = make_run(store, num_recorded=1000)
    app = opened()
    assert not app.warning
    assert not app.error
    assert not app.info
    assert charted(app) == 7  # p, rank, four scores, and the data map
    assert len(portraits(app)) == 1
    assert app.latex[0].value
    times = frames.sample.times_drawn(frames.sample.draw_matrix(run))
    image = app.number_input(key="image").value
    assert image == frames.recorded.most_recorded(run)
    assert f"picked in {times[image]} of 4 epochs · mean p " in said(app)


def test_a_run_of_an_older_version_shows_the_gradient_norm_alone_of_the_scores(store, monkeypatch):
    make_run(store)
    monkeypatch.setattr(Run, "scores", lambda run, epoch: {})
    app = opened()
    assert not app.error
    assert charted(app) == 4
    assert "gradient norm" in captions(app)
    assert "entropy" not in captions(app)


def test_the_image_shown_by_default_is_named_by_the_link_because_the_default_moves_as_the_run_grows(store):
    make_run(store)
    app = opened()
    assert app.query_params["image"] == str(app.number_input(key="image").value)


def test_a_damaged_run_is_left_out_and_a_damaged_epoch_is_a_message(store):
    run = make_run(store)
    (make_run(store, seed=1).path / "config.json").write_text("junk")
    app = opened()
    assert len(app.warning) == 1
    assert charted(app) == 7
    (run.path / "epochs/0002/probabilities.npy").write_bytes(b"junk")
    st.cache_resource.clear()
    sound(app.run())
    assert page.plain("epochs/0002/probabilities.npy is damaged") in app.error[0].value


def test_a_run_in_its_first_epoch_shows_what_there_is_and_grows(store):
    make_run(store, epochs=10, committed=1, evaluated=False)
    app = opened(image=3)
    assert not app.error
    assert " of 1 epochs · mean p" in said(app)
    make_run(store, epochs=10, committed=4, evaluated=False)
    sound(app.run())
    assert " of 4 epochs · mean p" in said(app)
    assert app.number_input(key="image").value == 3


def test_a_run_deleted_while_viewed_is_no_traceback(store):
    run, other = make_run(store), make_run(store, seed=1)
    app = opened(run=run.id, pin=f"{run.id}:5")
    shutil.rmtree(run.path)
    sound(app.run())
    assert not app.error
    assert "Nothing is pinned any more" in said(app)
    assert "pin" not in app.query_params
    shutil.rmtree(other.path)
    sound(app.run())
    assert any("aat demo" in code.value for code in app.code)


def test_hostile_names_are_shown_and_not_obeyed(store):
    for lr in (0.1, 0.2):
        make_run(store, dataset=HOSTILE, epochs=1, num_perturbed=100, lr=lr)
    app = opened(pin=HOSTILE, list=HOSTILE, image=HOSTILE)
    assert not app.error
    for text in [said(app), *portraits(app)]:
        assert not re.search(r"(?<!\\)(\*\*bold|`x|\$y|:red|\]\(http|<img)", text)
    assert page.plain(HOSTILE) in said(app)


def test_standard_training_has_an_image_and_a_class_and_neither_p_nor_picks(store):
    run = make_run(store, num_perturbed=0)
    app = opened(run=run.id, image=7)
    assert not app.error
    assert len(portraits(app)) == 1
    assert "no epoch of this run has p" in said(app)
    assert "No epoch picked this image" in said(app)
    assert not charted(app)
    labels = datasets.load("fashion-mini").train.labels
    assert f"of {(labels == labels[7]).sum()} (same class)" in said(app)


def test_full_training_has_versions_and_no_p(store):
    run = make_run(store, num_perturbed="all", num_recorded=8)
    app = opened(run=run.id, image=7)
    assert "x′ of 4 of the 4 epochs that picked it" in said(app)
    assert not charted(app)
    assert len(sheets(app)) == 1
    assert "Picked in 4 epochs, but no x′ is on record" in said(opened(run=run.id, image=8))


def test_without_the_data_set_p_is_shown_and_neighbours_are_a_table(store):
    run = make_run(store, dataset="mnist", num_perturbed=100)
    image = int(run.drawn(4)[0])
    app = opened(image=image, epoch=4)
    assert page.plain("AAT_DATA") in said(app)
    assert not portraits(app)
    assert charted(app) == 7
    assert len(app.dataframe[0].value) == NEIGHBOURS
    assert len(sheets(app)) == 1  # x_adv alone
    none = make_run(store, dataset="mnist", num_perturbed=0)
    app = opened(run=none.id)
    assert "recorded neither p nor picks" in said(app)
    assert not app.error


# --- The URL, and steps ----------------------------------------------------------------------------------------------


def test_a_link_opens_run_image_epoch_list_and_pin(store):
    make_run(store)
    run = make_run(store, seed=1)
    app = opened(run=run.id, image=42, epoch=2, list="by p in the epoch", pin=f"{run.id}:43")
    assert (pages.chosen_run(app), app.number_input(key="image").value) == (run.id, 42)
    rank = diagnostics.ranks(run.probabilities(2))[42]
    assert f"{rank:,} of 5,000 ({page.plain('by p in the epoch, epoch 2')})" in said(app)
    assert portraits(app) == ["Training image 42, clean", "Training image 43, clean"]


@pytest.mark.parametrize(
    "query", [{"image": "-1"}, {"image": "5000"}, {"image": "x"}, {"list": "y", "run": "../../etc"}, {"epoch": "99"}]
)
def test_junk_in_the_url_falls_back_with_a_note(store, query):
    make_run(store)
    make_run(store, seed=1)
    app = opened(**query)
    assert not app.error
    assert ":material/link_off:" in said(app)


@pytest.mark.parametrize("pin", ["x", "-1", "5000", "²", "9" * 30, ":", "../../etc:3", "no-such-run:3", "a:b:3"])
def test_a_pin_that_is_nowhere_is_dropped_with_a_note(store, pin):
    make_run(store)
    app = opened(pin=pin)
    assert not app.error
    assert "Nothing is pinned any more" in said(app)
    assert "pin" not in app.query_params
    assert len(portraits(app)) == 1


def test_next_and_previous_walk_the_drawn_of_the_epoch(store):
    run = make_run(store, num_perturbed=3)
    drawn = sorted(int(row) for row in run.drawn(2))
    app = opened(list="drawn in the epoch", epoch=2, image=drawn[0])
    walked = [drawn[0]]
    for _ in range(2):
        press(app, "Next")
        walked.append(app.number_input(key="image").value)
    assert walked == drawn
    assert app.query_params["image"] == str(drawn[2])
    assert next(button for button in app.button if button.label == "Next").disabled
    press(app, "Previous")
    assert app.number_input(key="image").value == drawn[1]


def test_a_click_on_a_neighbour_moves_to_it(store, clicks):
    run = make_run(store)
    app = opened(image=42, epoch=3)
    found = frames.sample.neighbours(frames.sample.p_matrix(run), frames.sample.draw_matrix(run), 3, 42, NEIGHBOURS)
    clicks["neighbours"] = 5
    sound(app.run())
    assert app.number_input(key="image").value == found["image"][5]


def test_a_click_on_a_version_shows_its_epoch(store, clicks):
    make_run(store, num_perturbed="all", num_recorded=8)
    clicks["versions"] = 2
    app = opened(image=7)
    assert app.query_params["epoch"] == "3"
    assert "Epoch 3: **picked**" in said(app)


def test_each_version_has_the_mark_of_its_outcome_and_their_counts_are_said(store):
    run = make_run(store, num_perturbed="all", num_recorded=8)
    label, counts = datasets.load("fashion-mini").train.labels[7], collections.Counter()
    app = opened(image=7)
    (versions,) = sheets(app)
    assert versions["captions"] == ["1", "2", "3", "4"]
    for epoch, mark in enumerate(versions["marks"], 1):
        before, after = run.recorded_classes(epoch)[7]
        outcome = frames.recorded.OUTCOMES[before == label, after == label]
        assert mark == OUTCOME_COLOURS[outcome]
        counts[outcome] += 1
    assert all(f"{count} {name}" in markup(app) for name, count in counts.items())


def test_versions_of_an_earlier_version_of_the_package_have_no_predictions(store, monkeypatch):
    make_run(store, num_perturbed="all", num_recorded=8)
    for name in ("recorded_losses", "recorded_classes"):
        monkeypatch.setattr(Run, name, lambda run, epoch: None)
    app = opened(image=7)
    assert not any(sheets(app)[0]["marks"])
    assert "recorded without predictions" in said(app)


def test_the_attack_lab_is_a_button_away(store, monkeypatch):
    run = make_run(store)
    going = []
    monkeypatch.setattr(page, "open_page", lambda name, **params: going.append((name, params)))
    app = opened(image=42)
    press(app, "Attack lab")
    assert going == [("attack", {"run": run.id, "image": 42})]


# --- Pinning ---------------------------------------------------------------------------------------------------------


def test_pin_swap_and_unpin(store):
    run = make_run(store)
    app = opened(image=42)
    assert {"Pin"} == offered(app) & {"Pin", "Pin this", "Swap", "Unpin"}
    press(app, "Pin")
    assert app.query_params["pin"] == f"{run.id}:42"
    assert len(portraits(app)) == 1
    assert "Swap" not in offered(app)
    app.number_input(key="image").set_value(43)
    sound(app.run())
    assert portraits(app) == ["Training image 43, clean", "Training image 42, clean"]
    press(app, "Swap")
    assert portraits(app) == ["Training image 42, clean", "Training image 43, clean"]
    assert app.query_params["pin"] == f"{run.id}:43"
    press(app, "Unpin")
    assert "pin" not in app.query_params
    assert len(portraits(app)) == 1
    assert app.number_input(key="image").value == 42


def test_a_pinned_image_of_another_run_swaps_runs_too(store):
    first, second = make_run(store), make_run(store, epochs=2, norm_power=2.0)
    app = opened(run=first.id, image=42, pin=f"{second.id}:7")
    assert "which has its own map" in said(app)
    assert portraits(app)[1] == "Training image 7, clean"
    press(app, "Swap")
    assert (pages.chosen_run(app), app.number_input(key="image").value) == (second.id, 7)
    assert app.query_params["pin"] == f"{first.id}:42"


def test_a_bare_row_is_pinned_in_the_run_shown(store):
    make_run(store)
    assert portraits(opened(image=42, pin=7))[1] == "Training image 7, clean"
