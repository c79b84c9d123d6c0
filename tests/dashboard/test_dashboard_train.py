"""The Train page: form, refusals, cost, start and queue; no trainer is started here."""

import json
from functools import partial

import pages
import pytest
import streamlit as st
from pages import said, sheets, sound
from streamlit.testing.v1 import AppTest
from synthetic import make_record, make_run

from aat_explore.config import RunConfig
from aat_explore.dashboard import page
from aat_explore.jobs import cost
from aat_explore.jobs import queue as training_queue
from aat_explore.jobs.job import Job
from aat_explore.presets import preset
from aat_explore.scores import SCORES
from aat_explore.store import Store

opened = partial(pages.opened, "train")


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch):
    monkeypatch.setattr(training_queue, "start_worker", lambda cache: None)


def start(app: AppTest) -> AppTest:
    return app.button(key="train start").click().run()


def test_the_preset_gives_its_run_id_command_and_cost_in_passes(store):
    app = opened()
    assert app.code[0].value == f"aat train --preset=mini --cache-dir {store.root}"
    assert "new, 10 epochs" in said(app)
    assert "5 passes over T = 5,000 per epoch; no measurement yet" in said(app)


def test_every_field_of_a_run_has_a_widget(store):
    app = opened()
    keys = {one.key for kind in ("selectbox", "number_input", "text_input", "toggle") for one in app.get(kind)}
    wanted = {name for name in RunConfig.model_fields if name != "attack"} | {"attack.kind", "attack.step_size"}
    assert {f"train mini {name}" for name in wanted} <= keys


def test_starting_queues_the_chosen_settings_once_for_each_seed(store):
    app = opened()
    app.text_input(key="train mini seed").set_value("3, 4").run()
    app.text_input(key="train mini num_perturbed").set_value("all").run()
    start(app)
    jobs = [entry.job.config for entry in training_queue.listing(store.root).entries]
    assert jobs == [preset("mini", seed=seed, num_perturbed="all") for seed in (3, 4)]
    app.run()
    assert "is waiting in the queue already" in said(app)
    assert app.button(key="train start").disabled


def test_a_run_in_its_first_epoch_is_in_training_and_cannot_be_started_twice(store):
    app = opened()
    start(app)
    (entry,) = training_queue.listing(store.root).entries
    running = entry.job.model_copy(update={"state": "running"})
    (entry.folder / "000001.json").write_text(running.model_dump_json())
    app.run()
    assert "in training, 0 of 10 epochs done" in said(app)
    assert app.button(key="train start").disabled


def test_what_does_not_fit_is_one_line_and_cannot_be_started(store):
    app = opened()
    app.text_input(key="train mini num_perturbed").set_value("many").run()
    assert len(app.error) == 1
    assert "num_perturbed='many'" in app.error[0].value.replace("\\", "")
    assert "train start" not in [button.key for button in app.button]


def test_a_complete_run_has_nothing_to_do_and_one_cut_off_goes_on(store):
    make_run(store, epochs=10)
    app = opened()
    assert "complete: nothing to do" in said(app)
    assert app.button(key="train start").disabled
    assert "Cost:" not in said(app)
    make_run(store, epochs=10, committed=4, seed=1)
    assert "resumes at epoch 5 of 10" in said(opened(fields='{"seeds": "1"}'))


def test_a_copied_link_opens_the_same_settings(store):
    app = opened()
    app.number_input(key="train mini epsilon").set_value(0.125).run()
    fields = app.query_params["fields"]
    fields = fields if isinstance(fields, str) else fields[0]
    assert json.loads(fields) == {"epsilon": 0.125}
    assert opened(fields=fields).number_input(key="train mini epsilon").value == 0.125


@pytest.mark.parametrize(("field", "place"), [("model", "aat_explore.examples:SmallCNN"), ("score", "this:s")])
def test_no_address_names_code_to_run(store, field, place):
    app = opened(fields=json.dumps({field: place, "epochs": 3}))
    assert "do not fit here" in said(app)
    assert app.selectbox(key=f"train mini {field}").value == getattr(preset("mini"), field)
    assert app.code[0].value.startswith("aat train --preset=mini --cache-dir")


def test_the_built_in_scores_are_offered_and_queued(store):
    app = opened()
    assert app.selectbox(key="train mini score").options == [*SCORES]
    last = list(SCORES)[-1]
    app.selectbox(key="train mini score").set_value(last).run()
    start(app)
    assert [entry.job.config for entry in training_queue.listing(store.root).entries] == [preset("mini", score=last)]


@pytest.mark.parametrize("junk", ["{", "[]", '{"epochs": "x"}', '{"dataset": "../etc"}', '{"attack": 3}', "[" * 9000])
def test_junk_in_the_address_falls_back_to_the_preset_with_a_note(store, junk):
    app = opened(fields=junk)
    assert "does not" in said(app) or "do not fit" in said(app)
    assert app.code[0].value.startswith("aat train --preset=mini --cache-dir")


def test_the_queue_shows_states_logs_and_damage_as_text(store):
    entry = training_queue.enqueue(store.root, Job(config=preset("mini")))
    failed = entry.job.model_copy(update={"state": "failed", "reason": "**no** luck"})
    (entry.folder / "000001.json").write_text(failed.model_dump_json())
    (entry.folder / "000001.log").write_text("<b>x</b>")
    (entry.folder / "000002.json").write_text('{"**bold**": 1}')
    text = said(opened())
    assert r"\*\*no\*\* luck" in text
    assert "<b>x</b>" in text
    assert "**bold**" not in text


def ended(store, state: str, **fields) -> None:
    """A job of the run with seed 0 that ended so."""
    config = preset("mini", epochs=4)
    entry = training_queue.Entry(store.root / "queue", "000001", Job(config=config, state=state, **fields))
    entry.folder.mkdir()
    (entry.folder / "000001.json").write_text(entry.job.model_dump_json())


def test_a_finished_run_says_what_it_reached_and_leads_to_its_picks_results_and_comparison(store, monkeypatch):
    run = make_run(store)
    ended(store, "done")
    links = []
    monkeypatch.setattr(page, "open_page", lambda name, **params: links.append((name, params)))
    app = opened()
    assert "clean accuracy **85.0%** · robust accuracy **7.7%**" in said(app)
    assert "PGD\\-40" in said(app)
    assert len(app.get("vega_lite_chart")) == 2
    assert len(sheets(app)) == 1
    for name in ("picks", "results", "compare"):
        opened().button(key=f"train {name} 000001").click().run()
    shown = {"run": run.id}
    assert links == [("picks", shown | {"view": "Sheet"}), ("results", shown), ("compare", shown)]


def test_before_a_first_start_the_most_similar_run_of_the_data_set_shows_what_to_expect(store, monkeypatch):
    make_run(store, num_perturbed=100, seed=1)
    similar = make_run(store, num_perturbed=200)
    make_run(store, num_perturbed=200, dataset="mnist")
    make_run(store, num_perturbed=0)
    links = []
    monkeypatch.setattr(page, "open_page", lambda name, **params: links.append((name, params)))
    app = opened(fields='{"num_perturbed": 200}')
    assert "Most similar run: **Fashion\\-mini · n 200 · Norm · FGSM ε 0\\.3 · seed 0**" in said(app)
    assert len(app.get("vega_lite_chart")) == 2
    assert [group["label"] for group in sheets(app)[0]["groups"]] == [f"epoch {epoch}" for epoch in (4, 3, 2, 1)]
    app.button(key="train nearest picks").click().run()
    assert links == [("picks", {"run": similar.id, "view": "Sheet"})]
    assert "Most similar run" not in said(opened(fields='{"dataset": "cifar10"}'))
    training_queue.enqueue(store.root, Job(config=preset("mini", seed=9)))
    assert "Most similar run" not in said(opened())


def test_a_stopped_run_is_resumed_by_its_button(store):
    make_run(store, committed=2, evaluated=False)
    ended(store, "stopped", device="cpu", threads=1)
    app = opened()
    assert "2 of 4 epochs are kept" in said(app)
    app.button(key="train resume 000001").click().run()
    (entry,) = training_queue.listing(store.root).entries
    assert entry.job == Job(config=preset("mini", epochs=4), device="cpu", threads=1)
    assert entry.job.state == "waiting"


def test_a_run_in_training_shows_its_curves_the_time_left_and_its_latest_picks_newest_first(store):
    run = make_run(store, committed=3, evaluated=False)
    ended(store, "running")
    app = opened()
    progress = next(iter(app.get("progress"))).proto.text
    assert progress == "3 of 4 epochs; about 1.9 s left"
    assert len(app.get("vega_lite_chart")) == 2
    (strip,) = sheets(app)
    assert [group["label"] for group in strip["groups"]] == ["epoch 3", "epoch 2", "epoch 1"]
    shown = [int(title[1:].split(",")[0]) for title in strip["titles"]]
    p = run.probabilities(3)
    assert set(shown[:24]) == set(sorted(run.drawn(3).tolist(), key=lambda row: -p[row])[:24])


def test_a_trained_run_that_is_tested_has_no_full_bar(store):
    make_run(store, evaluated=False)
    ended(store, "running")
    app = opened()
    assert "All 4 epochs are trained; testing the network" in said(app)
    assert not app.get("progress")


def test_the_queue_is_paused_only_once_a_worker_had_time_to_start(store):
    app = start(opened())
    assert "The queue is paused" not in said(app)
    assert "The queue is paused" in said(opened())  # another session, which started none


def test_an_evaluation_and_the_checks_of_a_local_run_are_made_by_the_queue(store):
    run = make_run(store, epochs=2, evaluated=False)
    app = pages.opened("runs", run=run.id)
    assert f"aat evaluate {run.id}" not in said(app)
    app.button(key="evaluate").click().run()
    (entry,) = training_queue.listing(store.root).entries
    assert entry.job == Job(config=run.config)
    assert "In the queue" in said(app)
    training_queue.remove(store.root, entry.name)
    pages.opened("checks", run=run.id).button(key="check this run").click().run()
    (entry,) = training_queue.listing(store.root).entries
    assert entry.job == Job(config=run.config, evaluate=False, check_images=1000)
    assert entry.job.task.check_images == 1000


def test_no_button_runs_code_that_a_cache_names_or_writes_into_the_showcase(store):
    custom = make_run(store, epochs=2, evaluated=False, model="aat_explore.examples:SmallCNN")
    shown = make_run(Store(store.root / "showcase"), epochs=2, evaluated=False)
    for run in (custom, shown):
        app = pages.opened("runs", run=run.id)
        assert f"aat evaluate {run.id}" in said(app)
        assert "evaluate" not in [button.key for button in app.button]
        assert "check this run" not in [button.key for button in pages.opened("checks", run=run.id).button]


def test_a_waiting_job_is_removed_by_its_button(store):
    training_queue.enqueue(store.root, Job(config=preset("mini")))
    opened().button(key="train remove 000001").click().run()
    assert not training_queue.listing(store.root).entries


def test_a_click_is_done_before_anything_is_drawn(store, monkeypatch):
    """So that nothing which ends the script early can lose it."""
    entry = training_queue.enqueue(store.root, Job(config=preset("mini")))
    app = opened()
    monkeypatch.setattr("aat_explore.dashboard.page.heading", lambda *words: st.stop())
    app.button(key=f"train remove {entry.name}").click().run()
    assert not training_queue.listing(store.root).entries


def test_a_stop_that_finds_no_trainer_is_a_message(store):
    entry = training_queue.enqueue(store.root, Job(config=preset("mini")))
    running = entry.job.model_copy(update={"state": "running"})
    (entry.folder / "000001.json").write_text(running.model_dump_json())
    app = sound(opened().button(key="train stop 000001").click().run())
    assert "has no trainer at work that could be stopped" in app.error[0].value
    assert not sound(app.run()).error


def test_a_cache_that_can_only_be_read_offers_no_start(store):
    (store.root / "queue").write_text("")
    app = opened()
    assert "is read-only" in said(app)
    assert "train start" not in [button.key for button in app.button]


# --- Cost ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "passes"),
    [
        ({"num_perturbed": 0}, 3),
        ({"num_perturbed": 1000}, 5),
        ({"num_perturbed": 1000, "scoring": "carry-over"}, 3 + 2 * 0.2),
        ({"num_perturbed": "all"}, 5),
        ({"num_perturbed": "all", "attack": {"kind": "pgd", "steps": 10}}, 3 + 2 * 10),
        ({"num_perturbed": 1000, "attack": {"kind": "pgd", "steps": 10}}, 3 + 2 + 2 * 10 * 0.2),
        ({"num_perturbed": 1000, "perturbing_network": "on-the-fly"}, 5 + 2 * 0.2),
    ],
)
def test_passes_are_those_of_the_design(fields, passes):
    assert cost.passes(preset("mini", **fields), 5000) == pytest.approx(passes)


def test_the_estimate_scales_measured_seconds_by_passes(store):
    run = make_run(store, epochs=2, num_perturbed=1000)  # 1.7 s an epoch for 5 passes, 0.21 s besides
    metrics = make_record(run.config, 1).metrics
    assert metrics.seconds_validate + metrics.seconds_record == pytest.approx(0.21)
    estimate = cost.cost(preset("mini", num_perturbed=0, epochs=10), 5000, [cost.pace(run)])
    assert estimate.seconds == pytest.approx(1.7 / 5 * 3 + 0.21)
    assert estimate.total_seconds == pytest.approx(10 * (1.7 / 5 * 3 + 0.21))
    assert cost.cost(preset("letter-mnist"), 55_000, [cost.pace(run)]).seconds is None
