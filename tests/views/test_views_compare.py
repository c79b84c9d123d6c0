"""Runs beside each other, and the paper's claims checked, against sets, loops and closed forms."""

import numpy as np
import pandas as pd
import pytest
from synthetic import make_evaluation, make_run

from aat_explore.store import Store, light_copy
from aat_explore.views import charts, frames

T = 5000
TEST = "PGD-40, 2,000 test images"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def run_tested(store, clean, robust, **fields):
    """A run with this clean accuracy, and this one at ε = 0.3."""
    run = make_run(store, epochs=1, evaluated=False, **fields)
    counts = {"epsilons": (0.0, 0.3), "num_correct": (round(2000 * clean), round(2000 * robust))}
    with store.writer(run.config) as writer:
        writer.add_evaluation(make_evaluation(run.config, 1, **counts))
    return store.open(run.id)


# --- settings and curves -------------------------------------------------------------------------------------------


def test_only_settings_that_differ_are_told_and_those_without_effect_too(store):
    runs = [make_run(store, epochs=1, num_perturbed=0), make_run(store, epochs=1, norm_power=2.0, dropout=0.25)]
    found = frames.compare.config_differences(runs).set_index("setting")
    assert found["A"].to_dict() == {"num_perturbed": "0", "norm_power": "1", "dropout": "0.5"}
    assert found["B"].to_dict() == {"num_perturbed": "1000", "norm_power": "2", "dropout": "0.25"}


def test_attacks_are_compared_as_resolved(store):
    said = {"attack": {"kind": "pgd", "steps": 10}}
    meant = {"attack": {"kind": "pgd"}, "seed": 1}
    runs = [make_run(store, epochs=1, **fields) for fields in (said, meant, {"attack": {"kind": "fgsm"}})]
    assert list(frames.compare.config_differences(runs[:2])["setting"]) == ["seed"]
    rows = set(frames.compare.config_differences(runs[::2])["setting"])
    assert rows == {"attack.kind", "attack.steps", "attack.step_size", "attack.random_start"}


@pytest.mark.parametrize(
    ("measure", "column"),
    list(
        zip(
            frames.compare.CURVES,
            ("loss", "clean_accuracy_val", "fgsm_accuracy_val", "robust_accuracy_val"),
            strict=True,
        )
    ),
)
def test_curves_are_the_runs_metrics(store, measure, column):
    runs = [make_run(store), make_run(store, epochs=2, num_perturbed=100)]
    found = frames.compare.curves(runs, measure)
    for letter, run in zip(("A ✗", "B ✗"), runs, strict=True):  # both overfit to FGSM, as they are made up
        mine = found[found["run"] == letter]
        assert set(mine["id"]) == {run.id}
        assert set(mine["failed"]) == {"catastrophic overfitting"}
        assert mine["value"].tolist() == run.metrics()[column].tolist()


def test_the_nearest_neighbour_is_of_one_data_set_has_picks_and_differs_in_least(store):
    run = make_run(store, epochs=1, num_perturbed=100)
    other_set = make_run(store, epochs=1, num_perturbed=100, dataset="mnist")
    none = make_run(store, epochs=1, num_perturbed=0)
    repeated = make_run(store, epochs=1, num_perturbed=100, seed=1)
    both = make_run(store, epochs=1, num_perturbed=200, seed=1)
    larger = make_run(store, epochs=1, num_perturbed=200)
    far = make_run(store, epochs=1, num_perturbed=200, epsilon=0.1, lr=0.1)
    light = light_copy(make_run(Store(store.root / "x"), epochs=1, num_perturbed=300), store.root)
    runs = [other_set, none, light, far, repeated, run, both, larger]
    nearest = [larger, both, repeated, far]  # with picks; then without any; then of another data set
    found = frames.compare.nearest_runs(run.config, [other for other in runs if other.id != run.id])
    assert found[:4] == [one.id for one in nearest]
    assert set(found[4:6]) == {none.id, light.id}
    assert found[6:] == [other_set.id]


def test_results_are_those_of_the_test_that_is_asked_for_and_differences_those_to_the_first(store):
    runs = [run_tested(store, 0.8, 0.1), run_tested(store, 0.75, 0.3, seed=1)]
    found = frames.compare.results(runs, TEST, 0.3)
    assert found["letter"].tolist() == ["A", "B"]
    assert found[["clean", "robust"]].to_numpy() == pytest.approx(np.array([[0.8, 0.1], [0.75, 0.3]]))
    assert found["clean more"].tolist() == pytest.approx([0, -0.05])
    assert found["robust more"].tolist() == pytest.approx([0, 0.2])
    assert found["epoch"].tolist() == pytest.approx([1.7, 1.7])
    untested = make_run(store, epochs=1, seed=2, evaluated=False)
    assert frames.compare.results([runs[0], untested])["clean"].isna().tolist() == [False, True]


# --- what each drew ------------------------------------------------------------------------------------------------


def test_overlap_is_that_of_the_sets_in_each_epoch_that_both_have(store):
    runs = [make_run(store), make_run(store, epochs=3, num_perturbed=300, seed=1), make_run(store, num_perturbed="all")]
    found = frames.compare.overlap(runs).set_index(["pair", "epoch"])
    assert list(found.index) == [(pair, e) for pair, n in (("A and B", 3), ("A and C", 4), ("B and C", 3))
                                 for e in range(1, n + 1)]  # fmt: skip
    for pair, (one, other) in {"A and B": runs[:2], "A and C": runs[::2], "B and C": runs[1:]}.items():
        for epoch in range(1, min(one.epoch, other.epoch) + 1):
            first, second = set(one.drawn(epoch)), set(other.drawn(epoch))
            assert found.loc[(pair, epoch), "overlap"] == pytest.approx(len(first & second) / len(first | second))
            assert found.loc[(pair, epoch), "drawn by both"] == len(first & second)


def test_chance_is_what_independent_uniform_draws_share_on_average(store):
    runs = [make_run(store, epochs=1), make_run(store, epochs=1, num_perturbed=2000, seed=1)]
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(300):
        first, second = (set(rng.choice(T, n, replace=False).tolist()) for n in (1000, 2000))
        shares.append(len(first & second) / len(first | second))
    assert frames.compare.overlap(runs)["chance"].item() == pytest.approx(np.mean(shares), rel=0.01)


def test_nothing_overlaps_where_nothing_is_drawn_or_data_sets_differ(store):
    run, none = make_run(store), make_run(store, num_perturbed=0)
    other = make_run(store, dataset="mnist")
    assert frames.compare.overlap([run, none]).empty
    assert frames.compare.overlap([run, other]).empty
    assert set(frames.compare.overlap([run, other, make_run(store, seed=1)])["pair"]) == {"A and C"}


def test_counts_are_those_of_the_sets_drawn(store):
    one, other = make_run(store, epochs=3), make_run(store, num_perturbed=300, seed=1)
    counts = frames.compare.times_drawn_by_each(one, other).set_index("image")
    for image in range(T):
        times = [sum(image in run.drawn(epoch) for epoch in (1, 2, 3)) for run in (one, other)]
        assert (list(counts.loc[image]) if image in counts.index else [0, 0]) == times


def test_samples_of_one_run_alone_come_most_often_drawn_first():
    counts = pd.DataFrame({"image": [1, 2, 3, 4, 5], "first": [2, 0, 5, 3, 2], "second": [0, 7, 0, 2, 0]})
    only = frames.compare.draw_differences(counts, "first")
    assert only["image"].tolist() == [3, 1, 5]
    assert only["difference"].tolist() == [-5, -2, -2]
    assert frames.compare.draw_differences(counts, "second")["image"].tolist() == [2]
    assert frames.compare.draw_differences(counts, "either")["image"].tolist() == [2, 3, 1, 5, 4]


def test_captions_say_how_often_each_picked():
    counts = pd.DataFrame({"image": [7, 8, 9], "first": [2, 0, 3], "second": [0, 4, 1]})
    captions, titles = frames.compare.count_captions(counts, ("A", "C"))
    assert captions == ["2×", "4×", "A 3 C 1"]
    assert titles[0] == "#7, picked 2× by A and 0× by C"


# --- paired by seed ------------------------------------------------------------------------------------------------


def test_pairs_share_the_seed_and_every_setting_but_those_compared(store):
    none = [run_tested(store, 0.8 + 0.01 * seed, 0.1, num_perturbed=0, seed=seed) for seed in (0, 1, 2)]
    some = [
        run_tested(store, 0.79 - 0.01 * seed, 0.3 + 0.02 * seed, num_perturbed=100, seed=seed) for seed in (0, 1, 5)
    ]
    others = [run_tested(store, 0.5, 0.5, num_perturbed=100, seed=2, lr=0.1), run_tested(store, 0.5, 0.5, seed=1)]
    found = frames.compare.paired_by_seed([*none, *some, *others], none[1], some[0], TEST, 0.3)
    assert found["seed"].tolist() == [0, 1]
    assert found["clean accuracy difference"].tolist() == pytest.approx([-0.01, -0.03])
    assert found["robust accuracy first"].tolist() == pytest.approx([0.1, 0.1])
    assert found["robust accuracy difference"].tolist() == pytest.approx([0.2, 0.22])
    mean = frames.compare.in_points(frames.compare.mean_differences(found)).set_index("measure")
    assert mean.loc["clean accuracy"].tolist() == pytest.approx([-2, 100 * np.std([-0.01, -0.03], ddof=1), 2])
    assert mean.loc["robust accuracy", "mean difference"] == pytest.approx(21)


def test_runs_of_other_seeds_or_tests_make_no_pair(store):
    none, some = run_tested(store, 0.8, 0.1, num_perturbed=0), run_tested(store, 0.7, 0.2, seed=1)
    assert frames.compare.paired_by_seed([none, some], none, some, TEST, 0.3).empty
    assert frames.compare.paired_by_seed([none, some], none, none, "PGD-7, 10 test images", 0.3).empty


def test_repetitions_differ_in_seed_and_bookkeeping_only(store):
    run = make_run(store, epochs=1)
    assert frames.compare.repetitions(run, make_run(store, epochs=1, seed=1, num_recorded=3))
    assert not frames.compare.repetitions(run, make_run(store, epochs=1, seed=1, lr=0.1))


def test_common_tests_are_those_at_budgets_that_both_were_tested_with(store):
    one, other = make_run(store, epochs=1), run_tested(store, 0.8, 0.1, seed=1)
    assert frames.compare.tested_alike([one, other]) == {TEST: [0.3]}
    assert frames.compare.tested_alike([one])[TEST] == [round(0.05 * k, 2) for k in range(1, 9)]
    assert frames.compare.tested_alike([one, make_run(store, epochs=1, seed=2, evaluated=False)]) == {}


# --- the claim, and seconds ----------------------------------------------------------------------------------------


def test_seconds_are_those_of_training_up_to_the_epoch_tested(store):
    run = make_run(store, epochs=4, committed=2)
    make_run(store, epochs=4, evaluated=False)  # goes on to epoch 4; the test was after epoch 2
    frame = frames.figures.evaluated([store.open(run.id)])
    assert frame["seconds"].unique().tolist() == pytest.approx([2 * 1.7])
    assert set(frame["machine"]) == {"cpu, 2 threads"}


def test_means_in_time_are_apart_for_each_machine():
    rows = [("x", 0, 10.0, 0.5), ("x", 1, 14.0, 0.7), ("y", 2, 1.0, 0.6)]
    frame = pd.DataFrame(rows, columns=["machine", "seed", "seconds", "accuracy"])
    found = frames.figures.over_seeds_in_time(frame.assign(dataset="a", panel="Norm", position=9, n="9")).set_index(
        "machine"
    )
    assert found["seconds"].to_dict() == {"x": 12.0, "y": 1.0}
    assert found["mean"].to_dict() == pytest.approx({"x": 0.6, "y": 0.6})
    sd = np.std([10, 14], ddof=1)
    assert found.loc["x", ["lower", "upper"]].tolist() == pytest.approx([12 - sd, 12 + sd])


# --- charts --------------------------------------------------------------------------------------------------------


def test_every_chart_is_valid_and_no_two_of_15_pairs_look_alike(store):
    runs = [make_run(store, epochs=2, num_perturbed=50, seed=seed) for seed in range(6)]
    curves, overlap = frames.compare.curves(runs, frames.compare.CURVES[1]), frames.compare.overlap(runs)
    assert charts.compare.run_curves(curves, frames.compare.CURVES[1]).to_dict()["datasets"]
    spec = charts.compare.drawn_overlap(overlap).to_dict()
    found = {}

    def scales(part):
        if isinstance(part, dict):
            for channel in ("color", "strokeDash"):
                if isinstance(part.get(channel), dict) and "scale" in part[channel]:
                    found[channel] = part[channel]["scale"]["range"]
            for value in part.values():
                scales(value)
        elif isinstance(part, list):
            for value in part:
                scales(value)

    scales(spec)
    looks = {(colour, tuple(dash)) for colour, dash in zip(found["color"], found["strokeDash"], strict=True)}
    assert len(looks) == 15


def test_labels_at_the_ends_of_lines_stand_apart_and_percentages_are_told_apart():
    frame = pd.DataFrame({"run": ["A", "B", "C"], "epoch": 2, "value": [0.011, 0.01, 0.5], "id": "x", "failed": ""})
    spec = charts.compare.run_curves(frame, "clean accuracy").to_dict()
    (label,) = (layer for layer in spec["layer"] if layer["mark"]["type"] == "text")
    at = {row["run"]: row["at"] for row in spec["datasets"][label["data"]["name"]]}
    assert at == {"B": pytest.approx(0.01), "A": pytest.approx(0.09), "C": pytest.approx(0.5)}
    assert spec["layer"][0]["encoding"]["y"]["axis"]["format"] == ".1~%"  # 0.5% and 1%, not 1% twice


@pytest.mark.parametrize("dark", [False, True])
def test_accuracy_against_seconds_is_a_valid_chart(store, dark):
    runs = [
        run_tested(store, 0.8, 0.1, num_perturbed=0),
        run_tested(store, 0.7, 0.2),
        run_tested(store, 0.7, 0.3, seed=1),
    ]
    measured = frames.figures.evaluated(runs)
    frame = frames.figures.accuracy_against_n(
        measured, {"fashion-mini": frames.figures.recipes(measured, "fashion-mini")[0]}, TEST
    )
    spec = charts.figures.accuracy_against_seconds(
        frame, frames.figures.over_seeds_in_time(frame), "clean", dark=dark
    ).to_dict()
    assert sum(len(rows) for rows in spec["datasets"].values()) >= 5
