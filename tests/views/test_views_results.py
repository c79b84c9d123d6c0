"""Clean and robust accuracy in one chart: its axis of n, its intervals, its words, and what is shown first."""

from itertools import pairwise
from math import log10

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import make_evaluation, make_run

from aat_explore.presets import preset
from aat_explore.records import wilson_interval
from aat_explore.views import charts
from aat_explore.views.frames import results
from aat_explore.views.frames.figures import evaluated, recipes
from aat_explore.views.names import settings_name

TEST = "PGD-40, 2,000 test images"
RUNS = ((0, 1.0, 0), (100, 1.0, 0), (100, 1.0, 1), (100, 0.0, 0), (1000, 1.0, 0), ("all", 1.0, 0))  # n, power, seed
BY = ["measure", "norm", "n", "place"]


@pytest.fixture
def grid(store):
    runs = [
        make_run(store, epochs=1, num_perturbed=n, norm_power=power, seed=seed)
        for n, power, seed in (
            (0, 1.0, 0),
            (100, 1.0, 0),
            (100, 1.0, 1),
            (100, 0.0, 0),
            (1000, 1.0, 0),
            ("all", 1.0, 0),
        )
    ]
    measured = evaluated(runs)
    return measured, recipes(measured, "fashion-mini")[0], results.configs_of(runs)


def points_of(grid, epsilon=0.3):
    measured, chosen, configs = grid
    return results.accuracies(measured, "fashion-mini", chosen, TEST, epsilon, configs)


# --- The axis of n ---------------------------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 60_000), min_size=1, max_size=12))
def test_places_keep_the_order_of_n_and_leave_room_for_every_label(counts):
    found = results.places(pd.DataFrame({"n": [str(n) for n in counts], "position": list(counts)}))
    in_order = [found[str(n)] for n in sorted(counts)]
    assert all(after - before >= results.GAP - 2e-4 for before, after in pairwise(in_order))


def test_places_are_logarithmic_where_there_is_room():
    found = results.places(pd.DataFrame({"n": ["100", "1000", "10000"], "position": [100, 1000, 10_000]}))
    assert found == {"100": 2.0, "1000": 3.0, "10000": 4.0}
    assert results.places(pd.DataFrame({"n": ["all", "0"], "position": [50_000, 0]}))["all"] == round(log10(50_000), 4)


# --- Intervals -------------------------------------------------------------------------------------------------------


def frame_of(accuracies, images=1000):
    rows = [
        ("a", seed, accuracy, *wilson_interval(round(accuracy * images), images))
        for seed, accuracy in enumerate(accuracies)
    ]
    return pd.DataFrame(rows, columns=["by", "seed", "accuracy", "least", "most"])


def test_from_three_seeds_on_the_interval_is_students_over_seeds():
    row = results.with_intervals(frame_of([0.5, 0.6, 0.7]), ["by"]).loc[0]
    half = 4.303 * 0.1 / 3**0.5
    assert row[["mean", "low", "high"]].tolist() == pytest.approx([0.6, 0.6 - half, 0.6 + half])
    assert row["summary"] == "60.0% (35.2 to 84.8%, 3 seeds)"


def test_with_fewer_the_interval_is_over_the_test_images_and_says_so():
    row = results.with_intervals(frame_of([0.5]), ["by"]).loc[0]
    assert (row["low"], row["high"]) == wilson_interval(500, 1000)
    assert row["summary"].endswith("of the test images)")
    both = results.with_intervals(frame_of([0.5, 0.7]), ["by"]).loc[0]
    assert both["low"] == pytest.approx((wilson_interval(500, 1000)[0] + wilson_interval(700, 1000)[0]) / 2)


def test_runs_of_one_seed_count_as_one():
    twice = pd.concat([frame_of([0.4, 0.6]), frame_of([0.8])], ignore_index=True)
    row = results.with_intervals(twice, ["by"]).loc[0]
    assert row["seeds"] == 2
    assert row["mean"] == pytest.approx((0.6 + 0.6) / 2)


# --- Points and charts -----------------------------------------------------------------------------------------------


def test_baselines_are_in_every_norm_of_the_means_and_once_among_the_points(grid):
    points = points_of(grid)
    means = results.with_intervals(points, BY)
    assert set(means.loc[means["n"] == "0", "norm"]) == {"Norm", "Uniform"}
    single = results.with_means(points, means, BY)
    assert len(single) == 2 * points["run"].nunique()
    assert set(single.loc[single["norm"] == results.UNSAMPLED, "n"]) == {"0", "all"}


def drawn(grid):
    """Each chart of the subject, by name, on a light and a dark page."""
    measured, chosen, configs = grid
    points, curves = points_of(grid), results.over_epsilon(measured, "fashion-mini", chosen, TEST, configs)
    means, timed = results.with_intervals(points, BY), results.in_time(points, "cpu, 2 threads")
    by_epsilon = results.with_intervals(curves, ["norm", "n", "epsilon"])
    for dark in (False, True):
        yield charts.results.accuracy_against_n(results.with_means(points, means, BY), means, dark=dark)
        single = results.with_means(points, timed, ["measure", "norm", "n"])
        yield charts.results.accuracy_against_seconds(single, timed, dark=dark)
        single = results.with_means(curves, by_epsilon, ["norm", "n", "epsilon"])
        yield charts.results.accuracy_against_epsilon(single, by_epsilon, "n", 0.3, title="Norm", dark=dark)


def test_every_chart_is_valid_and_no_tooltip_is_without_a_value(grid):
    for chart in drawn(grid):
        spec = chart.to_dict()
        for layer in spec["layer"]:
            rows = spec["datasets"][layer["data"]["name"]]
            for entry in layer["encoding"].get("tooltip", []):
                assert all(row[entry["field"]] not in (None, "") for row in rows), entry


def test_accuracies_start_at_0_so_that_a_small_one_looks_small(grid):
    spec = next(drawn(grid)).to_dict()
    domains = [
        layer["encoding"]["y"]["scale"]["domain"] for layer in spec["layer"] if "scale" in layer["encoding"]["y"]
    ]
    assert domains == [[0, 0.9]]


def test_the_lines_are_labelled_at_their_ends_apart_from_each_other(grid):
    means = results.with_intervals(points_of(grid), BY)
    close = means.assign(mean=0.5, low=0.4, high=0.6)
    single = results.with_means(points_of(grid), close, BY)
    spec = charts.results.accuracy_against_n(single, close).to_dict()
    labels = [layer["mark"] for layer in spec["layer"] if layer["mark"]["type"] == "text"]
    assert abs(labels[0]["dy"] - labels[1]["dy"]) >= 12


# --- Words -----------------------------------------------------------------------------------------------------------


def test_the_statement_is_the_measured_means(grid):
    means = results.with_intervals(points_of(grid), BY)
    assert results.statement(means, "Norm", "100") == [
        "n = 100 picked by Norm: 85.0% clean, 7.7% robust",
        "standard training: 85.0% / 7.7%",
        "all perturbed: 85.0% / 7.7%",
    ]
    only_clean = means[means["measure"] == "clean"]
    assert results.statement(only_clean)[0].endswith("85.0% clean")
    assert results.statement(means[means["n"] == "0"]) == ["standard training: 85.0% clean, 7.7% robust"]


def test_settings_are_named_by_what_differs_from_the_preset():
    assert settings_name(preset("mini")) == "FGSM ε 0.3 · 10 epochs"
    config = preset("mini", lr=0.02, normalize=False, perturbing_network="on-the-fly", score="loss", epochs=3)
    assert settings_name(config) == "FGSM ε 0.3 · score loss · on-the-fly · lr 0.02 · no normalize · 3 epochs"
    assert settings_name(preset("mini", num_perturbed=0)) == "standard training · 10 epochs"


# --- What is shown first ---------------------------------------------------------------------------------------------


def test_the_newest_run_decides_what_is_shown_first_and_else_the_most_runs(store):
    many = [make_run(store, epochs=1, num_perturbed=100, seed=seed) for seed in range(3)]
    newest = make_run(store, epochs=1, num_perturbed=100, lr=0.02)
    frame = evaluated([*many, newest])
    assert results.usual(frame)[1] == frame.loc[frame["run"] == many[0].id, "recipe"].iloc[0]
    assert results.usual(frame, newest.id)[1] == frame.loc[frame["run"] == newest.id, "recipe"].iloc[0]


def test_a_weak_test_is_not_shown_first_where_a_strong_one_is(store):
    run = make_run(store, epochs=1)
    with store.writer(run.config) as writer:
        writer.add_evaluation(make_evaluation(run.config, 1, attack={"kind": "fgsm"}))
    frame = evaluated([store.open(run.id)])
    assert results.usual(frame)[2] == TEST
    assert results.ordered_tests(frame, "FGSM, 2,000 test images") == ["FGSM, 2,000 test images", TEST]


def test_the_epsilons_tested_are_ascending_and_without_0_or_twins():
    frame = pd.DataFrame({"epsilon": [0.0, 0.3, 0.1, 0.1 + 1e-9, 8 / 255]})
    assert results.tested_epsilons(frame) == [8 / 255, 0.1, 0.3]
