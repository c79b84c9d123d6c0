"""The Runs page: its table, search, filters and actions, what is in training; and runs shown alone on all pages."""

import os

import pandas as pd
import pytest
from pages import captions, opened, ran, said, sheets
from streamlit.testing.v1 import AppTest
from synthetic import make_evaluation, make_run

from aat_explore.dashboard import page
from aat_explore.presets import preset
from aat_explore.store import Store
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


def table(app) -> dict:
    """What the table of runs was given."""
    (given,) = (data for data in sheets(app) if data.get("label") == "Runs in the cache")
    return given


def listed(app) -> list[str]:
    return [row["id"] for row in table(app)["rows"]]


def button(app, label: str):
    (match,) = (button for button in app.button if button.label.startswith(label))
    return match


def test_the_table_names_runs_for_people_and_has_the_id_last(store):
    run = make_run(store, epochs=2, num_perturbed=1000)
    make_run(store, epochs=2, num_perturbed=0)
    given = table(opened("runs", run=run.id))
    assert [column["title"] for column in given["columns"]] == [
        *("run", "clean", "robust", "fails", "status", "s/epoch", "date", "id"),
    ]
    (row,) = (row for row in given["rows"] if row["id"] == run.id)
    assert row["name"] == "n 1,000 · Norm"  # what tells these runs apart
    assert row["values"][-1] == run.id
    assert row["values"][1] == pytest.approx(0.85)
    assert given["opened"] == run.id


def test_the_newest_local_run_comes_first_and_the_showcase_behind_a_switch(store, monkeypatch):
    runs = [make_run(store, epochs=1, seed=seed) for seed in range(3)]
    for age, run in enumerate(runs):
        os.utime(run.path / "HEAD.json", (1_700_000_000 - age, 1_700_000_000 - age))
    shown = make_run(Store(store.root / "showcase"), epochs=1, seed=9)
    assert listed(opened("runs")) == [run.id for run in runs]
    assert listed(opened("runs", showcase="true")) == [*(run.id for run in runs), shown.id]


def test_words_in_any_order_find_runs_by_name_and_id(store):
    wanted = make_run(store, epochs=1, num_perturbed=1000, norm_power=2.0)
    make_run(store, epochs=1, num_perturbed=1000)
    make_run(store, epochs=1, num_perturbed=100, norm_power=2.0)
    assert listed(opened("runs", words="squared 1,000")) == [wanted.id]
    assert listed(opened("runs", words=wanted.id[-8:])) == [wanted.id]
    app = opened("runs", words="nothing like it")
    assert listed(app) == []
    assert table(app)["none"] == "No run fits the search and the filters."
    assert "0 of 3 runs" in captions(app)


def test_ticked_rows_come_from_the_url_and_narrow_nothing_by_themselves(store):
    ids = [make_run(store, epochs=1, seed=seed).id for seed in range(3)]
    app = opened("runs", ticked=f"{ids[1]},gone,{ids[0]}")
    assert table(app)["ticked"] == [ids[1], ids[0]]
    assert len(listed(app)) == 3
    assert picked(ticked=ids[1]).markdown[0].value.split() == ids


def test_two_or_three_ticked_runs_are_compared(store, monkeypatch):
    ids = [make_run(store, epochs=1, seed=seed).id for seed in range(4)]
    links = []
    monkeypatch.setattr(page, "open_page", lambda name, **params: links.append((name, params)))
    assert button(opened("runs"), "Compare ticked").disabled
    assert button(opened("runs", ticked=",".join(ids)), "Compare ticked (4)").disabled
    button(opened("runs", ticked=",".join(ids[:2])), "Compare ticked (2)").click().run()
    assert links == [("compare", {"run": ids[0], "with": ids[1], "third": ""})]


def test_show_only_these_narrows_every_page_until_all_are_shown_again(store):
    ids = [make_run(store, epochs=1, seed=seed).id for seed in range(3)]
    app = opened("runs", ticked=ids[1], run=ids[0])
    button(app, "Show only these").click().run()
    assert listed(app) == [ids[1]]
    assert app.query_params["runs"] in (ids[1], [ids[1]])
    assert table(app)["opened"] == ids[1]  # an open run that is not shown would mislead
    button(app, "Show all 3 runs").click().run()
    assert len(listed(app)) == 3
    assert "runs" not in app.query_params


def test_the_open_run_has_its_picks_and_checks_one_click_away(store, monkeypatch):
    run = make_run(store, epochs=1)
    links = []
    monkeypatch.setattr(page, "open_page", lambda name, **params: links.append((name, params)))
    for label in ("Open picks", "Checks"):
        button(opened("runs", run=run.id), label).click().run()
    assert links == [("picks", {"run": run.id}), ("checks", {"run": run.id})]


def test_another_run_like_the_open_one_is_one_click_from_its_form_with_the_next_seed(store, monkeypatch):
    settings = {"epochs": 1, "epsilon": 0.1, "attack": {"kind": "pgd", "steps": 7}}
    run = make_run(store, **settings)
    make_run(store, seed=3, **settings)
    make_run(store, seed=9, epochs=1)
    links = []
    monkeypatch.setattr(page, "open_page", lambda name, **params: links.append((name, params)))
    button(opened("runs", run=run.id), "Train another").click().run()
    ((name, params),) = links
    said = opened(name, **params).code[0].value.split()
    assert name == "train"
    assert {"--epochs=1", "--epsilon=0.1", "--attack.kind=pgd", "--attack.steps=7", "--seed=4"} <= set(said)


def test_filters_leave_the_rows_that_fit_and_keep_the_ticks(store):
    few = make_run(store, epochs=1, num_perturbed=100)
    kept = make_run(store, epochs=1, num_perturbed=1000)
    app = opened("runs", ticked=kept.id)
    app.multiselect(key="by-n").set_value(["100"]).run()
    assert listed(app) == [few.id]
    assert "1 of 2 runs" in captions(app)
    assert table(app)["ticked"] == [kept.id]


def test_accuracies_are_filtered_in_per_cent_as_the_table_shows_them(store):
    low, high = make_run(store, epochs=1), make_run(store, epochs=1, seed=1, evaluated=False)
    with store.writer(high.config) as writer:
        writer.add_evaluation(make_evaluation(high.config, 1, num_correct=(1900, *[100] * 8)))
    app = opened("runs")
    assert len(listed(app)) == 2
    slider = app.slider(key="by-clean accuracy")
    assert (slider.min, slider.max) == pytest.approx((85, 95))
    slider.set_value((90.0, slider.max)).run()
    assert listed(app) == [high.id]
    assert low.id not in listed(app)


@pytest.mark.parametrize("query", [{"run": "nobody"}, {"by-n": "nothing"}])
def test_a_choice_in_the_url_that_does_not_fit_is_said(store, query):
    for seed in (0, 1):
        make_run(store, epochs=1, seed=seed)
    [warning] = opened("runs", **query).warning
    [value] = query.values()
    assert value in warning.value


def test_a_run_in_training_has_its_curves_and_the_minutes_left(store):
    make_run(store, epochs=4, committed=2, evaluated=False)
    assert not opened("runs").dataframe
    with store.writer(preset("mini", epochs=4)):
        app = opened("runs")
    assert "1 in training" in said(app)
    assert "training 2/4" in table(app)["rows"][0]["values"]
    left = app.dataframe[0].value.iloc[0]
    metrics = store.open(left["run"]).metrics()
    assert list(left["training loss"]) == metrics["loss"].tolist()
    assert left["minutes left"] == pytest.approx(2 * metrics.filter(like="seconds_").sum(axis=1).median() / 60)


def test_runs_that_were_not_tested_are_a_choice_of_the_filter_as_others_are(store):
    make_run(store, epochs=1)
    untested = make_run(store, epochs=1, seed=1, evaluated=False)
    app = opened("runs", **{"by-tested with": "none"})
    assert listed(app) == [untested.id]


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
