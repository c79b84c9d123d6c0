"""The page Results: three figures of one data set, the claims beside them, and what is shown at first."""

import json
import re

import pages
import pytest
from pages import said
from synthetic import make_evaluation, make_record, make_report, make_run

from aat_explore.dashboard import page
from aat_explore.dashboard.pages import results
from aat_explore.presets import preset
from aat_explore.records import Check
from aat_explore.store import Store
from aat_explore.views import checks

AGAINST_N, AGAINST_EPSILON, AGAINST_SECONDS = results.VIEWS
FAILED = Check(name="label leaking", status="fail", reason="FGSM accuracy is 93.0%.", figures={})


def opened(**query):
    app = pages.opened("results", **query)
    assert not app.error
    return app


def table(app, column):
    """The first table with this column."""
    return next(element.value for element in app.dataframe if column in element.value)


def numbers(app):
    return table(app, "mean")


def run_tested(store, clean, device="cpu", **fields):
    """A run of one epoch on this device with this clean accuracy, 0.1 at ε = 0.3."""
    config = preset("mini", epochs=1, **fields)
    record = make_record(config, 1)
    with store.writer(config) as writer:
        metrics = record.metrics.model_copy(update={"device": device})
        writer.commit(type(record)(**vars(record) | {"metrics": metrics}))
        counts = {"epsilons": (0.0, 0.3), "num_correct": (round(2000 * clean), 200)}
        writer.add_evaluation(make_evaluation(config, 1, **counts))
    return store.open(config.run_id)


@pytest.fixture
def grid(store):
    """n = 0, 100 (Norm with two seeds, Squared Norm) and all."""
    for n, power, seed in ((0, 1.0, 0), (100, 1.0, 0), (100, 1.0, 1), (100, 2.0, 0), ("all", 1.0, 0)):
        make_run(store, epochs=2, num_perturbed=n, norm_power=power, seed=seed)
    return store


# --- The figures -----------------------------------------------------------------------------------------------------


def test_clean_and_robust_accuracy_of_each_norm_and_n_are_in_one_chart(grid):
    app = opened()
    assert len(app.get("vega_lite_chart")) == 1
    means = numbers(app).set_index(["measure", "norm", "n"])
    assert means["seeds"].to_dict() == {
        (measure, norm, n): 2 if (norm, n) == ("Norm", "100") else 1
        for measure in ("clean", "robust") for norm in ("Norm", "Squared Norm") for n in ("0", "100", "all")
    }  # fmt: skip
    assert set(means.loc["clean", "mean"]) == {0.85}
    assert set(means.loc["robust", "mean"]) == {154 / 2000}


def test_the_slider_chooses_the_epsilon_of_robust_accuracy(grid):
    app = opened(eps="0.1")
    robust = numbers(app).set_index("measure").loc["robust", "mean"]
    assert set(robust) == {int(1700 * 2.718281828459045**-0.8) / 2000}
    assert app.query_params["eps"] == "0.1"
    assert "eps" not in opened().query_params


@pytest.mark.parametrize("view", results.VIEWS)
def test_every_view_has_its_numbers_its_claims_and_downloads_and_prints_nothing_missing(grid, view):
    app = opened(accuracy=view)
    assert {button.proto.label for button in app.get("download_button")} >= {"Numbers, CSV"}
    assert numbers(app)["mean"].notna().all()
    assert not re.search(r"\b(None|nan|NaN|null)\b", said(app))
    assert app.get("vega_lite_chart")


def test_each_norm_has_its_panel_of_accuracy_against_epsilon(grid):
    specs = [json.loads(chart.proto.spec) for chart in opened(accuracy=AGAINST_EPSILON).get("vega_lite_chart")]
    assert [spec["title"]["text"] for spec in specs] == ["Norm", "Squared Norm"]


def test_norms_are_named_by_the_score_of_the_settings_chosen(store):
    for n, fields in ((0, {}), (100, {"score": "loss"}), (100, {"norm_power": 0.0}), (100, {}), ("all", {})):
        make_run(store, epochs=1, num_perturbed=n, **fields)
    by_norm, by_loss = (
        set(numbers(opened(**{"settings-fashion-mini": name}))["norm"])
        for name in ("FGSM at ε = 0.3; StdCNN, 1 epochs", "FGSM at ε = 0.3; score loss; StdCNN, 1 epochs")
    )
    assert by_norm == {"Norm", "Uniform"}
    assert by_loss == {"loss", "Uniform"}


def test_help_says_that_robust_accuracy_is_an_upper_bound_and_what_nested_and_all_mean(grid):
    words = said(opened())
    assert words.count("upper bound on robust accuracy") == 1
    assert "**Nested**" in words
    assert "n = all: by default x′ of all is made once per epoch" in words


def test_evaluations_by_different_attacks_are_not_mixed(store):
    make_run(store)
    config = preset("mini", epochs=4, seed=1)
    make_run(store, seed=1, evaluated=False)
    with store.writer(config) as writer:
        writer.add_evaluation(make_evaluation(config, 4, attack={"kind": "pgd", "steps": 5}))
    app = opened()
    assert len(app.selectbox(key="test").options) == 2
    assert set(numbers(app)["seeds"]) == {1}


def test_figure_5_needs_a_run_trained_with_pgd_on_all_samples(store):
    make_run(store, epochs=1)
    query = {"accuracy": AGAINST_EPSILON, "figure": results.PGD}
    assert "aat train --num-perturbed all --attack.kind pgd" in said(opened(**query))
    make_run(store, epochs=1, num_perturbed="all", attack={"kind": "pgd"})
    assert set(numbers(opened(**query))["settings"]) == {"PGD-10 ε 0.3 · 1 epochs"}


def test_seconds_of_different_machines_are_never_in_one_figure(store):
    run_tested(store, 0.9, num_perturbed=0)
    assert set(numbers(opened(accuracy=AGAINST_SECONDS))["seconds"]) == {1.7}
    run_tested(store, 0.9, device="cuda (*H100*)", num_perturbed=100)
    run_tested(store, 0.9, device="cuda (*H100*)", num_perturbed=100, seed=1)
    app = opened(accuracy=AGAINST_SECONDS)
    assert app.selectbox(key="machine").options == ["cuda (*H100*), 2 threads", "cpu, 2 threads"]
    assert set(numbers(app)["n"]) == {"100"}
    assert page.plain("cuda (*H100*), 2 threads") in said(app)
    assert "not comparable" in said(app)
    assert set(numbers(opened(accuracy=AGAINST_SECONDS, machine="cpu, 2 threads"))["n"]) == {"0"}


def test_a_link_to_a_view_that_is_not_there_opens_the_first_with_a_note(grid):
    app = opened(accuracy="against parsecs")
    assert "which does not fit here" in app.warning[0].value
    assert "place" in numbers(app)


def test_figures_are_of_the_runs_ticked(store):
    runs = [make_run(store, epochs=1, seed=seed) for seed in range(3)]
    assert set(numbers(opened())["seeds"]) == {3}
    assert set(numbers(opened(runs=f"{runs[0].id},{runs[2].id}"))["seeds"]) == {2}


# --- Claims and checks -----------------------------------------------------------------------------------------------


def test_the_claim_has_a_verdict_for_each_norm_and_n(store):
    run_tested(store, 0.9, num_perturbed=0)
    run_tested(store, 0.9, num_perturbed=100)
    run_tested(store, 0.8, num_perturbed=100, norm_power=2.0)
    run_tested(store, 0.8, num_perturbed="all")
    app = opened()
    comparisons = table(app, "what")
    clean = comparisons[comparisons["claim"] == 1].set_index("panel")
    assert clean["verdict"].to_dict() == {"Norm": "undecided", "Squared Norm": "does not hold"}
    assert clean["value"].to_dict() == pytest.approx({"Norm": 0.0, "Squared Norm": -10.0})
    line = next(part.value for part in app.markdown if part.value.startswith(":red"))
    assert "**does not hold**" in line
    assert page.plain("n = 100 minus n = 0, clean (Squared Norm): −10.0 points") in line


def test_the_claims_are_the_same_at_every_epsilon_shown(grid):
    assert table(opened(), "what").equals(table(opened(eps="0.05"), "what"))


def test_without_n_0_the_page_says_what_to_train_and_gives_no_verdict(store):
    run_tested(store, 0.9, num_perturbed=100, lr=0.02, seed=3)
    app = opened()
    assert table(app, "what")["verdict"].tolist() == ["undecided"]
    assert any("No run here with n = 0" in expander.label for expander in app.expander)
    words = "aat train --preset=mini --num-perturbed=0 --epochs=1 --lr=0.02 --seed=3"
    assert any(words in code.value for code in app.code)


def test_only_n_0_is_told_how_to_train_runs_that_pick(store):
    run_tested(store, 0.9, num_perturbed=0)
    app = opened()
    assert any("picking samples" in expander.label for expander in app.expander)
    assert any("aat train --preset=mini --epochs=1" in code.value for code in app.code)


def test_failing_runs_are_counted_and_listed_by_name_on_demand(grid):
    run = next(run for run in grid.list().runs if run.config.num_perturbed == "all")
    with grid.writer(run.config) as writer:
        writer.add_checks(make_report(run.config, 2, (FAILED,)))
    failing = [other for other in grid.list().runs if checks.flags(other)]
    app = opened()
    assert f"{len(failing)} of 5 runs fail a check" in [expander.label for expander in app.expander]
    listed = table(app, "failed").set_index("run")
    assert set(listed.index) == {other.id for other in failing}
    assert listed.loc[run.id, "name"] == "n all · seed 0"
    assert "label leaking" in listed.loc[run.id, "failed"]
    assert page.plain(run.id) not in said(app)
    assert "fails a check" in app.get("vega_lite_chart")[0].proto.spec


def test_a_run_tested_before_its_end_is_said(store):
    make_run(store, epochs=4, committed=2)
    app = opened()
    assert any("1 tested before the last epoch" in expander.label for expander in app.expander)
    assert table(app, "tested")["tested"].tolist() == ["epoch 2 of 4 (before the end)"]


# --- What is shown at first ------------------------------------------------------------------------------------------


@pytest.fixture
def beside_showcase(tmp_path, monkeypatch, fresh_page):
    """A cache whose showcase holds more runs, of other images and with another test, than were trained here."""
    monkeypatch.setenv("AAT_CACHE", str(tmp_path))
    for seed in range(3):
        make_run(Store(tmp_path / "showcase"), dataset="mnist", num_perturbed=100, seed=seed, epochs=2)
    return Store(tmp_path)


def test_without_local_runs_the_showcase_is_shown(beside_showcase):
    app = opened()
    assert app.query_params["dataset"] == "mnist"
    assert set(numbers(app)["seeds"]) == {3}


def test_data_set_settings_and_test_are_those_of_the_newest_local_run(beside_showcase):
    make_run(beside_showcase, num_perturbed=100, epochs=2)
    config = preset("mini", num_perturbed=100, epochs=3, lr=0.02)
    make_run(beside_showcase, num_perturbed=100, epochs=3, lr=0.02, evaluated=False)
    with beside_showcase.writer(config) as writer:
        writer.add_evaluation(make_evaluation(config, 3, num_images=500, num_correct=(400,) * 9))
    app = opened()
    assert app.query_params["dataset"] == "fashion-mini"
    assert app.query_params["settings-fashion-mini"] == "FGSM at ε = 0.3; StdCNN, 3 epochs, lr 0.02"
    assert app.query_params["test"] == "PGD-40, 500 test images"


def test_the_figure_is_that_of_the_run_last_looked_at_and_follows_when_another_is(store):
    two_epochs = make_run(store, num_perturbed=100, epochs=2)
    make_run(store, num_perturbed=1000, epochs=2)
    three_epochs = make_run(store, num_perturbed=100, epochs=3)
    app = pages.app("results")
    for run, epochs in ((two_epochs, 2), (three_epochs, 3), (two_epochs, 2)):
        app.session_state["kept run"] = run.id  # as the page before left it
        app.query_params.clear()
        pages.ran(app)
        settings = app.query_params["settings-fashion-mini"]
        assert f"{epochs} epochs" in (settings if isinstance(settings, str) else settings[0])
        assert page.plain("n = 100 picked by Norm") in said(app)


def test_a_link_opens_the_same_figure_after_other_runs_were_trained(beside_showcase):
    link = dict(opened().query_params)
    make_run(beside_showcase, num_perturbed=100, epochs=2)
    assert opened().query_params["dataset"] == "fashion-mini"
    again = opened(**link)
    assert not again.warning
    assert again.query_params["dataset"] == "mnist"
    assert set(numbers(again)["seeds"]) == {3}


# --- Old addresses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "query", "view"),
    [
        ("from_accuracy", {"measure": "robust accuracy"}, AGAINST_N),
        ("from_accuracy", {"axis": "training seconds"}, AGAINST_SECONDS),
        ("from_robustness", {"figure": results.PGD}, AGAINST_EPSILON),
        ("from_claims", {}, AGAINST_N),
    ],
)
def test_links_to_the_former_pages_open_the_view_that_took_their_place(name, query, view, grid, monkeypatch):
    links = []
    monkeypatch.setattr(page, "open_page", lambda name, **params: links.append((name, params)))
    script = f"from aat_explore.dashboard.pages import results\nresults.{name}()"
    pages.ran(pages.AppTest.from_string(script), dataset="fashion-mini", **query)
    kept = {key: value for key, value in query.items() if key == "figure"}
    assert links == [("results", {"accuracy": view, "dataset": "fashion-mini", **kept})]
