"""The Checks page, and the mark that a run which fails one has on every other page."""

import pages
import pytest
from pages import HOSTILE, opened, said
from synthetic import make_report, make_run

from aat_explore import optional
from aat_explore.dashboard import page
from aat_explore.presets import preset
from aat_explore.records import Check
from aat_explore.store import Store, light_copy
from aat_explore.views import checks

LEAKING = Check(name="label leaking", status="fail", reason="FGSM accuracy is 93.0%.", figures={"FGSM accuracy": 0.93})
SQUARE = Check(name="Square finds more", status="warn", reason="Not tried.", figures={})


@pytest.fixture
def failing(store):
    """A run that `aat check` found to leak labels, and one that was not checked."""
    run, config = make_run(store, epochs=2), preset("mini", epochs=2)
    make_run(store, epochs=2, num_perturbed=0)
    with store.writer(config) as writer:
        writer.add_checks(make_report(config, 2, (LEAKING, SQUARE)))
    return store.open(run.id)


def test_failures_come_first_with_their_numbers_and_explanation(failing):
    app = opened("checks", run=failing.id)
    table = app.dataframe[0].value
    assert list(table["check"])[:2] == ["no label leaking", "no catastrophic overfitting"]
    assert table["verdict"].iloc[0] == "fail"
    assert ":red[:material/close: fail] | **no label leaking** | FGSM accuracy 93" in said(app)
    assert table["numbers"].iloc[0].startswith("FGSM accuracy is 93.0%.")
    assert app.selectbox(key="check").value == "no label leaking"
    assert "read the label off the perturbation" in said(app).replace("\n", " ")
    app.selectbox(key="check").select("no zero gradients").run()
    assert "quantised inputs" in said(app).lower()


def test_a_check_is_listed_once_with_the_worse_verdict_and_the_numbers_of_both(failing):
    table = opened("checks", run=failing.id).dataframe[0].value
    assert table["check"].is_unique
    leaking = table[table["check"] == "no label leaking"].iloc[0]
    assert (leaking["verdict"], leaking["on"]) == ("fail", "1,000 test images and validation")
    assert "On validation, each epoch: FGSM accuracy is 30.0%" in leaking["numbers"]


def test_what_nobody_has_looked_for_is_not_run_and_neither_passes_nor_warns(store, failing):
    table = opened("checks", run=failing.id).dataframe[0].value
    verdicts = dict(zip(table["check"], table["verdict"], strict=True))
    assert set(verdicts) == set(checks.GOOD_STATES.values())
    assert verdicts["Square finds no more"] == "not run"  # recorded as a warning: it could not be made
    assert verdicts["AutoAttack finds no more"] == "not run"
    assert list(table["verdict"])[-1] == "not run"
    run = next(run for run in store.list().runs if run.id != failing.id)
    app = opened("checks", run=run.id)
    assert "of 3 checks" in said(app)
    assert "11 not run" in said(app)
    assert page.command(f"check {run.id}") in said(app)


def test_a_flag_names_the_trouble_and_a_list_the_good_state(failing):
    assert checks.flags(failing) == ["label leaking", "catastrophic overfitting"]
    assert not set(checks.flags(failing)) & set(checks.table_of(failing)["check"])


def test_a_checked_run_is_offered_autoattack_and_told_of_the_library(failing, monkeypatch):
    monkeypatch.setattr(optional, "installed", lambda library: library != "pyautoattack")
    words = said(opened("checks", run=failing.id))
    assert f"evaluate {failing.id} --attack autoattack" in words
    assert "pip install 'aat-explore[eval]'" in words


@pytest.mark.parametrize("name", ["runs", "picks", "sample", "dynamics", "attack", "checks"])
def test_a_failing_run_is_marked_wherever_its_figures_stand_and_the_mark_opens_its_checks(
    store, failing, name, monkeypatch
):
    links = []
    monkeypatch.setattr(page, "open_page", lambda name, **params: links.append((name, params)))
    mark = opened(name, run=failing.id).button(key="open checks")
    assert mark.label.endswith("fails 2 checks")
    assert "label leaking, catastrophic overfitting" in mark.help.replace("\\", "")
    mark.click().run()
    assert links == [("checks", {"run": failing.id})]
    other = next(run for run in store.list().runs if run.id != failing.id)
    assert "open checks" not in [button.key for button in opened(name, run=other.id).button]


def test_comparisons_name_them_too(store, failing):
    ids = [run.id for run in store.list().runs]
    app = opened("compare", **dict(zip(("run", "with"), ids, strict=True)))
    assert "| label leaking" in said(app)


def test_hostile_words_in_a_report_are_shown_as_they_are(store):
    config = preset("mini", epochs=1)
    run = make_run(store, epochs=1)
    hostile = Check(name=HOSTILE, status="fail", reason=HOSTILE, figures={})
    with store.writer(config) as writer:
        writer.add_checks(make_report(config, 1, (hostile,)))
    app = opened("checks", run=run.id)
    assert HOSTILE in set(app.dataframe[0].value["numbers"])
    assert HOSTILE not in said(app)
    for name in ("runs", "results", "overview"):
        assert HOSTILE not in said(pages.opened(name, run=run.id))


@pytest.mark.parametrize("name", ["picks", "sample", "dynamics"])
def test_a_summary_keeps_its_place_where_picks_are_shown_and_another_run_is_one_click_away(store, name):
    full = [make_run(store, epochs=2, seed=seed).id for seed in (2, 3)]
    summary = light_copy(make_run(Store(store.root / "other"), epochs=2, seed=1), store.root)
    assert pages.chosen_run(opened(name)) in full
    app = opened(name, run=summary.id)
    assert pages.chosen_run(app) == summary.id
    assert "This copy of the run is a summary" in said(app)
    app.button(key=f"instead {full[0]}").click().run()
    assert pages.chosen_run(app) == full[0]
    assert "summary" not in said(app)


def test_light_copies_are_compared_by_their_curves_alone(store):
    full = make_run(store, epochs=2)
    light = light_copy(make_run(Store(store.root / "other"), epochs=2, seed=1), store.root)
    app = opened("compare", run=full.id, **{"with": light.id})
    assert "B is a summary, without a record of what each epoch picked" in said(app)
    assert app.get("vega_lite_chart")
    assert "ight cop" not in said(opened("results"))
