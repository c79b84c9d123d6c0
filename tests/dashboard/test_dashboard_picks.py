"""The Picks page: filters, orders, paging, badges, and what they share with the charts."""

from functools import partial

import numpy as np
import pages
import pytest
from pages import captions, images, said, sheets
from synthetic import make_run

from aat_explore import datasets
from aat_explore.dashboard import picks_sheet
from aat_explore.dashboard.page import plain
from aat_explore.errors import AATError
from aat_explore.views import frames

opened = partial(pages.opened, "picks")


@pytest.fixture
def run(store):
    return make_run(store, num_perturbed=300, num_recorded=60, epochs=3)


@pytest.fixture
def dataset():
    return datasets.load("fashion-mini")


def test_a_sheet_shows_so_many_and_the_next_goes_on(run):
    drawn = list(run.drawn(3))
    assert images(opened()) == drawn[:200]
    app = opened(sheet="2")
    assert images(app) == drawn[200:]
    assert "Showing 201–300 of 300" in captions(app)
    recorded = opened(show="x′")
    assert images(recorded) == drawn[:60]
    assert "60 of the 300 picks have a recorded x′" in captions(recorded)


def test_p_of_another_score_than_the_formulas_is_said(store):
    make_run(store, num_perturbed=300)
    assert "Here p is proportional to" not in said(opened())
    other = make_run(store, num_perturbed=300, score="my_scores:own_one", norm_power=2)
    assert f"p is proportional to {plain('my_scores:own_one^2')}" in said(opened(run=other.id))


def test_clean_images_are_shown_of_all_drawn(run):
    app = opened(show="clean", images="1000")
    assert images(app) == list(run.drawn(3))
    assert sheets(app)[0]["captions"] == []
    assert "Showing 1–300 of 300" in captions(app)


def test_classes_and_p_filter_the_sheet(run, dataset):
    p, drawn = run.probabilities(3), run.drawn(3)
    middle = round(float(np.log10(np.median(p[drawn]))), 1)
    app = opened(**{"class": "Bag"}, p=["-12", str(middle)], show="clean", images="1000")
    label = dataset.class_names.index("Bag")
    expected = [i for i in drawn if dataset.train.labels[i] == label and p[i] <= 10**middle]
    assert images(app) == expected
    assert 0 < len(expected) < len(drawn)


def test_filters_that_nothing_passes_are_a_message(run):
    app = opened(p=["-0.5", "0"])
    assert "No picked image passes these filters" in app.info[0].value
    assert not app.get("bidi_component")


def test_junk_filters_are_said_and_not_obeyed(run):
    app = opened(**{"class": "Unicorn"}, p="x", order="by luck")
    assert sum("which does not fit here" in warning.value for warning in app.warning) == 3
    assert images(app) == list(run.drawn(3)[:200])


def test_the_new_picks_come_before_those_picked_again(run):
    before = set(run.drawn(2))
    for order, expected in (("newly picked", False), ("picked again", True)):
        again = [image in before for image in images(opened(order=order, show="clean", images="1000"))]
        assert again == sorted(again, reverse=expected)
        assert set(again) == {False, True}


def test_every_order_of_p_is_an_order_of_p(run):
    p = run.probabilities(3)
    for order, sign in (("by p", -1), ("least likely", 1)):
        values = sign * p[images(opened(order=order, show="clean", images="1000"))]
        assert (np.diff(values) >= 0).all()


def test_what_is_filtered_is_counted_in_both_charts(run, dataset):
    every = frames.picks.all_picks(run, 3, dataset)
    shown = frames.picks.selected(every, classes=["Bag"])
    for binned in (frames.picks.p_histogram(run, 3), frames.picks.class_mix(run, 3, dataset)):
        found = frames.picks.with_shown(binned, shown)
        parts = found[found["group"] == "shown"]
        assert parts["count"].sum() == len(shown) > 0
        assert parts["share"].sum() == pytest.approx(len(shown) / 300)
        drawn = found[found["group"] == "drawn"]
        assert (parts["count"].to_numpy() <= drawn["count"].to_numpy()).all()


def test_orders_by_loss_put_the_largest_first_and_what_is_not_recorded_last(run):
    position = {image: at for at, image in enumerate(run.drawn(3))}
    for order, column in (("by loss", 0), ("by loss after", 1)):
        shown = [position[image] for image in images(opened(order=order, show="clean", images="1000"))]
        assert (np.diff(run.recorded_losses(3)[shown[:60], column]) <= 0).all()
        assert shown[60:] == list(range(60, 300))


def test_outcomes_filter_the_sheet_and_are_counted(run, dataset):
    labels, predicted = dataset.train.labels[run.drawn(3)[:60]], run.recorded_classes(3)
    fooled = (predicted[:, 0] == labels) & (predicted[:, 1] != labels)
    already = (predicted != labels[:, None]).all(axis=1)
    app = opened(outcome=["fooled", "wrong already"], show="x′")
    assert images(app) == list(run.drawn(3)[:60][fooled | already])
    assert fooled.sum() > 0
    legend = " ".join(element.proto.body for element in app.get("html"))
    for count in (f"{fooled.sum()} fooled", "0 resists", f"{already.sum()} wrong already", "0 corrected"):
        assert count in legend
    marks = sheets(app)[0]["marks"]
    assert marks.count(picks_sheet.OUTCOME_COLOURS["fooled"]) == fooled.sum()


def test_without_the_data_set_predictions_are_numbers_and_there_is_no_outcome(run):
    frame = frames.picks.all_picks(run, 3)
    assert frame["before"][:60].tolist() == [str(one) for one in run.recorded_classes(3)[:, 0]]
    assert frame["outcome"].isna().all()
    assert frames.recorded.outcome_counts(frame) == {}


def test_a_class_beyond_the_names_is_shown_by_its_number(run, dataset, monkeypatch):
    monkeypatch.setattr(run, "recorded_classes", lambda epoch: np.array([[2**31 - 1, 3]]))
    frame = frames.picks.all_picks(run, 3, dataset)
    assert frame[["before", "after"]].iloc[0].tolist() == ["2147483647", dataset.class_names[3]]


@pytest.mark.parametrize(
    ("p", "q", "expected"), [(2e-4, 1e-3, (-3.7, -3.0)), (1e-3, 2e-4, (-3.7, -3.0)), (0.0, 5.0, (-12.0, 0.0))]
)
def test_a_brush_becomes_a_range_of_exponents_that_holds_it(p, q, expected):
    assert frames.picks.exponents(p, q, -12.0, 0.0) == expected


def test_an_unknown_order_is_an_error(run):
    with pytest.raises(AATError, match="order=by luck is unknown"):
        frames.picks.selected(frames.picks.all_picks(run, 3), order="by luck")


def test_the_badge_says_the_recorded_shortfall(run, monkeypatch):
    metrics = run.metrics().assign(shortfall=[0, 7, 0])
    monkeypatch.setattr(run, "metrics", lambda: metrics)
    assert [frames.picks.draw_statistics(run, epoch).shortfall for epoch in (1, 2, 3)] == [0, 7, 0]


def test_buttons_step_the_epoch_and_stop_at_the_ends(run):
    app = opened(epoch="2")
    app.button(key="arrow_back").click().run()
    assert app.slider(key="epoch").value == 1
    assert app.button(key="arrow_back").disabled
    app.button(key="arrow_forward").click().run()
    assert app.slider(key="epoch").value == 2


def test_playing_from_the_last_epoch_starts_at_the_first(run):
    app = opened()
    app.button(key="play").click().run()
    assert app.slider(key="epoch").value == 1
    assert app.button(key="play").label == "Pause"


def test_having_played_to_the_end_a_step_back_does_not_play_on(run):
    app = opened(epoch="1")
    app.button(key="play").click().run()
    app.slider(key="epoch").set_value(3).run()
    assert app.button(key="play").label == "Play"
    app.button(key="arrow_back").click().run()
    assert app.slider(key="epoch").value == 2
    assert app.button(key="play").label == "Play"
