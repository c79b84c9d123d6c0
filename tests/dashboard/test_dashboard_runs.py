"""The Runs page: filtering, picking, what is in training; and choices that pages share."""

import pandas as pd
import pytest
from pages import captions, opened, ran
from streamlit.testing.v1 import AppTest
from synthetic import make_run

from aat_explore.presets import preset
from aat_explore.views import frames

PICKED = """
import streamlit
from aat_explore.dashboard import page

with page.drawing():
    streamlit.write(" ".join(run.id for run in page.ticked_runs()))
"""


def picked(**query):
    return ran(AppTest.from_string(PICKED, default_timeout=60), **query)


def test_runs_named_in_the_url_are_offered_alone(store):
    ids = [make_run(store, epochs=1, seed=seed).id for seed in range(3)]
    assert picked(runs=f"{ids[2]},{ids[0]},gone").markdown[0].value.split() == [
        ids[0],
        ids[2],
    ]
    assert picked().markdown[0].value.split() == ids


def test_picked_runs_that_are_gone_are_a_note_and_all_are_offered(store):
    run = make_run(store, epochs=1)
    app = picked(runs="gone")
    assert "None of the runs that the link selects" in app.warning[0].value
    assert app.markdown[0].value == run.id


def test_ticked_rows_come_from_the_url_and_are_counted(store):
    ids = [make_run(store, epochs=1, seed=seed).id for seed in range(3)]
    assert "Showing 3 of 3 runs; 0 selected" in captions(opened("runs"))
    assert "1 selected" in captions(opened("runs", runs=ids[1]))


def test_filters_leave_the_rows_that_fit_and_keep_runs_picked_before(store):
    make_run(store, epochs=1, num_perturbed=100)
    kept = make_run(store, epochs=1, num_perturbed=1000)
    app = opened("runs", by="n", runs=kept.id)
    app.multiselect(key="by-n").set_value(["100"]).run()
    assert list(app.dataframe[0].value["n"]) == ["100"]
    assert "Showing 1 of 2 runs; 1 selected" in captions(app)
    assert app.query_params["runs"] in (kept.id, [kept.id])


@pytest.mark.parametrize("query", [{"run": "nobody"}, {"by": "nothing"}])
def test_a_choice_in_the_url_that_does_not_fit_is_said(store, query):
    for seed in (0, 1):
        make_run(store, epochs=1, seed=seed)
    [warning] = opened("runs", **query).warning
    [value] = query.values()
    assert value in warning.value


def test_a_run_in_training_has_its_curves_and_the_minutes_left(store):
    make_run(store, epochs=4, committed=2, evaluated=False)
    assert len(opened("runs").dataframe) == 1
    with store.writer(preset("mini", epochs=4)):
        app = opened("runs")
    left = app.dataframe[1].value.iloc[0]
    metrics = store.open(left["run"]).metrics()
    assert list(left["training loss"]) == metrics["loss"].tolist()
    assert left["minutes left"] == pytest.approx(2 * metrics.filter(like="seconds_").sum(axis=1).median() / 60)


TABLE = pd.DataFrame({"n": ["0", "all", ""], "accuracy": [0.1, 0.9, None]})


@pytest.mark.parametrize(
    ("texts", "ranges", "rows"),
    [
        ({}, {}, ["0", "all", ""]),
        ({"n": []}, {}, ["0", "all", ""]),
        ({"n": ["none", "0"]}, {}, ["0", ""]),
        ({}, {"accuracy": (0.1, 0.9)}, ["0", "all", ""]),
        ({}, {"accuracy": (0.2, 0.9)}, ["all"]),
        ({"n": ["0"]}, {"accuracy": (0.2, 0.9)}, []),
    ],
)
def test_a_row_passes_every_filter_and_a_missing_number_only_the_whole_range(texts, ranges, rows):
    assert list(frames.runs.filtered(TABLE, texts, ranges)["n"]) == rows
