"""The pages with the paper's figures: the claim checked, seconds in place of n, downloads and tables."""

import pages
import pytest
from pages import said
from synthetic import make_evaluation, make_record, make_run

from aat_explore.dashboard import page
from aat_explore.presets import preset


def opened(name, **query):
    app = pages.opened(name, **query)
    assert not app.error
    return app


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


def test_the_claim_has_a_verdict_in_words_for_each_norm_and_n(store):
    run_tested(store, 0.9, num_perturbed=0)
    run_tested(store, 0.89, num_perturbed=0, seed=1)
    run_tested(store, 0.891, num_perturbed=100)
    run_tested(store, 0.87, num_perturbed=100, norm_power=2.0)
    run_tested(store, 0.8, num_perturbed="all")
    app = opened("accuracy")
    table = app.dataframe[1].value.set_index(["panel", "n"])
    assert table["within"].to_dict() == {
        ("Norm", "100"): "yes", ("Norm", "all"): "no", ("Squared Norm", "100"): "no", ("Squared Norm", "all"): "no",
    }  # fmt: skip
    assert table.loc[("Norm", "100"), "by"] == pytest.approx(-0.4)
    assert table.loc[("Norm", "100"), "seeds of n = 0"] == 2
    assert "yes for 1, no for 3 of the 4 shown" in said(app)


def test_the_claim_is_of_clean_accuracy_whatever_is_drawn(store):
    for n in (0, 100):
        run_tested(store, 0.9, num_perturbed=n)
    tables = [
        opened("accuracy", **query).dataframe[1].value
        for query in ({}, {"measure": "robust accuracy"}, {"axis": "training seconds"})
    ]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


def test_without_n_0_the_page_says_what_to_train_and_gives_no_verdict(store):
    run_tested(store, 0.9, num_perturbed=100, lr=0.02, seed=3)
    app = opened("accuracy")
    assert app.dataframe[1].value["within"].tolist() == ["not known"]
    words = "aat train --preset=mini --num-perturbed=0 --epochs=1 --lr=0.02 --seed=3"
    assert any(code.value.startswith(words) for code in app.code)


def test_only_n_0_is_told_how_to_train_another(store):
    run_tested(store, 0.9, num_perturbed=0)
    assert "aat train --num-perturbed 1000" in said(opened("accuracy"))


def test_seconds_take_the_place_of_n_and_tell_machines_apart(store):
    run_tested(store, 0.9, num_perturbed=0)
    app = opened("accuracy", axis="training seconds")
    assert app.dataframe[0].value["seconds"].tolist() == pytest.approx([1.7])
    assert not app.warning
    run_tested(store, 0.9, device="cuda (*H100*)", num_perturbed=100)
    app = opened("accuracy", axis="training seconds")
    assert set(app.dataframe[0].value["machine"]) == {"cpu, 2 threads", "cuda (*H100*), 2 threads"}
    assert "different machines" in app.warning[0].value
    assert page.plain("cuda (*H100*)") in app.warning[0].value


def test_junk_axis_falls_back_to_n_with_a_note(store):
    make_run(store, epochs=1)
    app = opened("accuracy", axis="parsecs")
    assert ":material/link_off:" in said(app)
    assert "position" in app.dataframe[0].value.columns


@pytest.mark.parametrize("script", ["accuracy", "robustness"])
def test_every_figure_has_downloads_and_its_numbers_in_sight(store, script):
    make_run(store, epochs=1)
    app = opened(script)
    assert {button.proto.label for button in app.get("download_button")} >= {"Numbers, CSV"}
    assert not [table for expander in app.expander for table in expander.dataframe]
    assert app.dataframe[0].value["mean"].notna().all()


@pytest.mark.parametrize("script", ["accuracy", "robustness"])
def test_figures_are_of_the_runs_picked(store, script):
    runs = [make_run(store, epochs=1, seed=seed) for seed in range(3)]
    assert set(opened(script).dataframe[0].value["seeds"]) == {3}
    assert set(opened(script, runs=f"{runs[0].id},{runs[2].id}").dataframe[0].value["seeds"]) == {2}
