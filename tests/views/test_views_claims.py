"""The five claims: intervals against scipy, verdicts by hand, and a report that holds what it says."""

from types import SimpleNamespace as Namespace

import numpy as np
import pandas as pd
import pytest
from pages import HOSTILE, opened, said
from scipy import stats
from synthetic import make_evaluation, make_record, make_run

from aat_explore import readings
from aat_explore.cli import main
from aat_explore.config import RunConfig
from aat_explore.dashboard.pages.results import VIEWS
from aat_explore.errors import AATError
from aat_explore.presets import preset
from aat_explore.views import frames, report
from aat_explore.views.frames import claims

TEST = "PGD-40, 2,000 test images"


def run_tested(store, clean, robust, seconds=1.0, **fields):
    """A run of one epoch with these test accuracies and seconds of training."""
    config = preset("mini", **{"epochs": 1} | fields)
    record = make_record(config, 1)
    times = {"seconds_scoring": 0.0, "seconds_draw": 0.0, "seconds_perturb": 0.0, "seconds_train": seconds}
    with store.writer(config) as writer:
        writer.commit(type(record)(**vars(record) | {"metrics": record.metrics.model_copy(update=times)}))
        counts = {"epsilons": (0.0, config.epsilon), "num_correct": (round(2000 * clean), round(2000 * robust))}
        writer.add_evaluation(make_evaluation(config, 1, **counts))


def found(store, power=1.0):
    frame = frames.figures.evaluated(store.list().runs)
    recipe = frames.figures.recipes(frame, "fashion-mini")[0]
    table = claims.claims(frame, {"fashion-mini": recipe}, TEST)
    return table[table["panel"].isin(["", {1.0: "Norm", 2.0: "Squared Norm"}[power]])].set_index("what")


# --- Intervals -------------------------------------------------------------------------------------------------------


def rows(*accuracies, images=2000):
    return pd.DataFrame({"seed": range(len(accuracies)), "accuracy": accuracies, "images": images})


def test_of_three_seeds_and_more_the_interval_is_that_of_a_paired_t_test():
    one, other = (0.81, 0.83, 0.8, 0.86), (0.8, 0.81, 0.795, 0.83)
    estimate = claims.difference(rows(*one), rows(*other))
    expected = stats.ttest_rel(one, other).confidence_interval(0.95)
    assert (estimate.low, estimate.high) == pytest.approx((100 * expected.low, 100 * expected.high), abs=0.01)
    assert estimate.value == pytest.approx(100 * (np.mean(one) - np.mean(other)))
    assert estimate.means == "82.50% against 80.88%"


@pytest.mark.parametrize("freedom", [2, 3, 5, 9, 10, 15, 30, 100])
def test_the_quantiles_of_students_t_are_scipys(freedom):
    assert claims.t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=0.003)


def test_of_one_seed_the_interval_is_of_other_images():
    estimate = claims.difference(rows(0.8), rows(0.7))
    half = 100 * 1.96 * np.sqrt((0.8 * 0.2 + 0.7 * 0.3) / 2000)
    assert (estimate.low, estimate.high) == pytest.approx((10 - half, 10 + half), abs=0.01)


def test_only_seeds_that_both_have_are_compared():
    estimate = claims.difference(rows(0.8, 0.9), rows(0.7))
    assert (estimate.seeds, estimate.value) == (1, pytest.approx(10.0))
    assert claims.difference(rows(0.8), rows(0.8).assign(seed=7)) is None


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(-0.4, 0.4, "holds"), (0.6, 2.0, "does not hold"), (-3, -0.6, "does not hold"), (0.2, 0.8, "undecided")],
)
def test_a_verdict_is_given_where_the_whole_interval_agrees(low, high, said):
    estimate = claims.Estimate((low + high) / 2, low, high, 3, "")
    assert claims.verdict(estimate, -0.5, 0.5) == said
    assert claims.verdict(None, -0.5, 0.5) == "undecided"


# --- Claims ----------------------------------------------------------------------------------------------------------


def test_what_the_paper_says_would_be_found_to_hold(store):
    """Invented runs that behave as it says: AAT costs nothing and is robust, all costs three points."""
    for seed in range(3):
        wobble = 0.001 * seed
        run_tested(store, 0.9 + wobble, 0.0, 1.0, num_perturbed=0, seed=seed)
        run_tested(store, 0.9 + wobble, 0.42 + wobble, 1.1, num_perturbed=100, seed=seed)
        run_tested(store, 0.899 + wobble, 0.5 + wobble, 1.2, num_perturbed=1000, seed=seed)
        run_tested(store, 0.87 + wobble, 0.45 + wobble, 2.0, num_perturbed="all", seed=seed)
    table = found(store)
    assert dict(claims.summary(table.reset_index())[["claim", "verdict"]].to_numpy()) == {
        1: "holds", 2: "holds", 3: "holds", 4: "holds", 5: "holds",
    }  # fmt: skip
    assert table.loc["n = 1000 minus n = 100, robust", "value"] == pytest.approx(8.0)
    assert table.loc["n = 1000 relative to all, training time", "value"] == pytest.approx(0.6)


def test_to_be_as_robust_as_what_is_not_robust_decides_nothing(store):
    for seed in range(3):
        run_tested(store, 0.9, 0.0, num_perturbed=0, seed=seed)
        run_tested(store, 0.9, 0.01, num_perturbed=100, seed=seed)
        run_tested(store, 0.5, 0.01, num_perturbed="all", seed=seed)
    table = found(store)
    assert table.loc["all minus n = 0, robust", "verdict"] == "does not hold"
    assert table.loc["n = 100 minus all, robust", "verdict"] == "undecided"
    assert table.loc["n = 0 minus all, clean", "verdict"] == "does not hold"


def test_runs_of_another_attack_say_nothing_of_what_is_claimed_of_fgsm(store):
    pgd = {"attack": {"kind": "pgd", "steps": 7}}
    run_tested(store, 0.9, 0.0, num_perturbed=0)
    run_tested(store, 0.8, 0.6, num_perturbed=100, **pgd)
    run_tested(store, 0.7, 0.7, num_perturbed="all", **pgd)
    assert set(found(store)["claim"]) == {1, 5}


def test_custom_images_are_not_held_to_what_the_paper_says_of_its_data_sets(store):
    for n, clean in ((0, 0.9), (100, 0.9), ("all", 0.5)):
        run_tested(store, clean, 0.5, num_perturbed=n, dataset="photos-1a2b3c4d")
    frame = frames.figures.evaluated(store.list().runs)
    table = claims.claims(frame, *frames.figures.usual_choices(frame))
    assert set(table["claim"]) == {1, 3, 4, 5}
    assert set(claims.summary(table)["claim"]) == {1, 3, 4, 5}


def test_what_was_not_measured_is_undecided(store):
    run_tested(store, 0.9, 0.0, num_perturbed=100)
    table = found(store)
    assert set(table["verdict"]) == {"undecided"}
    assert set(table["means"]) == {"not measured"}


def test_the_smallest_n_that_is_enough_and_what_it_costs(store):
    for n, robust, seconds in ((0, 0.0, 1.0), (100, 0.3, 1.5), (1000, 0.485, 2.0), (3000, 0.5, 3.0), ("all", 0.5, 4.0)):
        run_tested(store, 0.9, robust, seconds, num_perturbed=n)
    frame = frames.figures.evaluated(store.list().runs)
    recipe = frames.figures.recipes(frame, "fashion-mini")[0]
    losses = claims.against_all(frame, "fashion-mini", recipe, TEST)
    assert losses["n"].tolist() == [100, 1000, 3000]
    assert losses["difference to all"].tolist() == pytest.approx([-20, -1.5, 0])
    assert losses["time relative to all"].tolist() == [0.375, 0.5, 0.75]
    assert losses["enough"].tolist() == ["no", "undecided", "undecided"]  # 2,000 images of one seed tell no less
    assert claims.smallest_enough(losses) == "Norm: n = 1,000"
    assert claims.smallest_enough(losses[losses["n"] < 1000]) == "Norm: none of those trained"


def test_picking_by_norm_is_compared_with_picking_at_random_seed_by_seed(store):
    for seed in range(3):
        run_tested(store, 0.9, 0.40 + 0.001 * seed, num_perturbed=100, norm_power=0.0, seed=seed)
        run_tested(store, 0.9, 0.43 + 0.002 * seed, num_perturbed=100, norm_power=1.0, seed=seed)
        run_tested(store, 0.9, 0.36 + 0.001 * seed, num_perturbed=100, norm_power=2.0, seed=seed)
    frame = frames.figures.evaluated(store.list().runs)
    assert claims.against_all(
        frame, "fashion-mini", frames.figures.recipes(frame, "fashion-mini")[0], TEST
    ).empty  # no n = all
    table = claims.against_uniform(frame, "fashion-mini", frames.figures.recipes(frame, "fashion-mini")[0], TEST)
    assert dict(table[["norm", "picking by norm is"]].to_numpy()) == {"Norm": "better", "Squared Norm": "worse"}


# --- Report and page -------------------------------------------------------------------------------------------------


def test_a_report_holds_all_that_it_shows_and_asks_for_nothing(store, capsys):
    for seed in (0, 1):
        for n in (0, 100, "all"):
            run_tested(store, 0.9, 0.1, num_perturbed=n, seed=seed)
    run_tested(store, 0.9, 0.1, num_perturbed=100, lr=0.5)  # of no reading
    out = store.root / "sub" / "report.html"
    assert main(["report", "mini", "--cache-dir", str(store.root), "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    text = out.read_text(encoding="utf-8")
    assert all(statement.split("(")[0].replace("'", "&#x27;") in text for statement in claims.STATEMENTS.values())
    assert text.count("<svg") >= 4
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text
    assert "<script" not in text
    assert "--lr 0.5" not in text
    assert text.count("aat train") == 6


def test_what_files_say_is_text_in_a_report_and_never_markup(store):
    run = make_run(store, **preset("mini", num_perturbed=100, epochs=1).model_dump(), evaluated=False)
    hostile = "<b>hostile"
    fields = {"created": f"{hostile}</b>", "device": hostile, "versions": {hostile: hostile}}
    with store.writer(run.config) as writer:
        writer.add_evaluation(make_evaluation(run.config, 1, **fields))
    text = report.html("mini", [store.open(run.id)])
    assert "&lt;b&gt;hostile" in text
    assert "<b>" not in text


def test_a_report_without_runs_says_what_to_type(store):
    text = report.html("paper", [])
    assert text.count("Not measured") == 2  # the paper reading and the letter's
    assert "aat grid letter-cifar10" in text


def test_the_paper_s_report_shows_cifar10_with_the_small_network_where_that_was_run(store):
    small = make_run(store, **preset("small-cifar10", num_perturbed=100, epochs=2).model_dump())
    assert small.config.model == "StdCNN"
    text = report.html("paper", [small])
    assert "The small-cifar10 reading" in text
    assert small.id in text
    assert "aat grid paper-cifar10" in text  # the paper's own network is still to be trained


def test_hostile_names_are_shown_and_not_obeyed(store):
    make_run(store, dataset=HOSTILE, epochs=1, num_perturbed=100)
    assert "<img" not in report.html("mini", store.list().runs)
    page = opened("results")
    assert not page.error
    assert all(HOSTILE not in element.value for element in page.markdown)


def test_an_unknown_report_is_refused():
    with pytest.raises(AATError, match="report=nope is unknown; choose one of letter, paper, mini"):
        report.html("nope", [])


@pytest.mark.parametrize(
    ("changes", "belongs"),
    [({}, True), ({"seed": 4, "epochs": 3, "num_perturbed": "all"}, True), ({"num_perturbed": 0, "epochs": 7}, True),
     ({"num_perturbed": "all", "attack": {"kind": "pgd"}}, True), ({"attack": {"kind": "pgd"}}, False),
     ({"lr": 0.01}, False), ({"num_recorded": 7}, True), ({"dataset": "mnist"}, False)],
)  # fmt: skip
def test_a_run_belongs_to_a_grid_whatever_its_seed_epochs_and_n(changes, belongs):
    assert readings.belongs(preset("mini", **changes), "mini") == belongs
    assert all(readings.belongs(config, "paper-mnist") for config in readings.configs("paper-mnist", seeds=1))
    assert not readings.belongs(RunConfig(dataset="mnist", epochs=5), "paper-mnist")


def test_the_members_of_a_group_are_those_of_its_grids(store):
    mine, other = make_run(store, num_perturbed=100), make_run(store, num_perturbed=100, epsilon=0.1)
    runs = store.list().runs
    assert [run.id for run in readings.members("mini", runs)] == [mine.id]
    assert [run.id for run in readings.members("frontier-mini", runs)] == []
    assert readings.members("letter", runs) == []
    assert other.id in {run.id for run in runs}
    papers = [Namespace(config=config) for config in readings.configs("paper", seeds=1)]
    assert readings.members("paper", papers) == papers
    with pytest.raises(AATError, match="grid=none is unknown"):
        readings.members("none", runs)


def test_each_claim_stands_beside_the_figure_that_it_is_about(store):
    for n in (0, 100, "all"):
        run_tested(store, 0.9, 0.1, num_perturbed=n)
    against_n, against_epsilon, against_seconds = (opened("results", accuracy=view) for view in VIEWS)
    assert said(against_n).count("**does not hold**") == 1  # all costs nothing
    assert said(against_epsilon).count("**does not hold**") == 1  # and is not robust
    assert "faster than perturbing" in said(against_seconds)
    what = next(table.value["what"] for table in against_n.dataframe if "what" in table.value)
    assert "n = 100 minus n = 0, clean" in set(what)
    assert "aat train --preset=mini --num-perturbed=100 --norm-power=0.0 --epochs" in said(against_n)
