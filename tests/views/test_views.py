"""Views: what the app and the notebooks compute and draw, against closed forms."""

import importlib.util
import io
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import partial

import altair as alt
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from synthetic import make_evaluation, make_run

from aat_explore.config import AttackConfig
from aat_explore.errors import AATError
from aat_explore.presets import preset
from aat_explore.store import Store
from aat_explore.views import charts, checks, diagnostics, frames, gallery, pixels
from aat_explore.views.recipes import evaluation_name, recipe

T = 5000
COMPARED = ["network", "attack", "accuracy", "least", "most", "images"]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@dataclass
class MadeUpSplit:
    labels: np.ndarray

    def images(self, indices):
        return np.broadcast_to((self.labels[indices] * 20)[:, None, None, None], (len(indices), 1, 28, 28)).copy()


@dataclass
class MadeUpDataset:
    train: MadeUpSplit
    name: str = "made-up"
    class_names: tuple[str, ...] = tuple("abcdefghij")


@pytest.fixture
def dataset():
    return MadeUpDataset(MadeUpSplit(np.arange(T, dtype=np.uint8) % 10))


# --- diagnostics ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 1 / T, 37.0])
def test_uniform_p_is_as_even_as_p_can_be(scale):
    p = np.full(T, scale)
    assert diagnostics.effective_sample_size(p) == pytest.approx(T)
    assert diagnostics.entropy(p) == pytest.approx(np.log(T))
    assert diagnostics.gini(p) == pytest.approx(0, abs=1e-9)
    assert diagnostics.top_mass(p) == pytest.approx(0.01)


def test_one_sample_that_has_it_all_is_as_uneven_as_p_can_be():
    p = np.eye(T)[17]
    assert diagnostics.effective_sample_size(p) == pytest.approx(1)
    assert diagnostics.entropy(p) == 0
    assert diagnostics.gini(p) == pytest.approx((T - 1) / T)
    assert diagnostics.top_mass(p) == pytest.approx(1)


def test_gini_is_the_mean_absolute_difference_over_twice_the_mean():
    p = np.random.default_rng(0).gamma(0.5, size=200)
    assert diagnostics.gini(p) == pytest.approx(np.abs(p[:, None] - p).mean() / (2 * p.mean()))


def test_k_equally_likely_samples_have_effective_size_k():
    p = np.zeros(100)
    p[::4] = 0.04
    assert diagnostics.effective_sample_size(p) == pytest.approx(25)


@pytest.mark.parametrize("p", [np.zeros(5), np.array([1.0, -1.0, 3.0]), np.array([1.0, np.nan]), np.ones((2, 2))])
def test_what_is_no_distribution_is_refused(p):
    with pytest.raises(AATError, match="not a distribution"):
        diagnostics.effective_sample_size(p)


def test_jaccard_counts_rows_in_common():
    assert diagnostics.jaccard(np.array([1, 2, 3]), np.array([2, 3, 4])) == 0.5
    assert diagnostics.jaccard(np.arange(5), np.arange(5)[::-1]) == 1
    assert diagnostics.jaccard(np.arange(3), np.arange(3, 6)) == 0
    assert diagnostics.jaccard(np.arange(0), np.arange(0)) == 1


def test_ranks_are_a_permutation_in_order_of_p():
    p = np.random.default_rng(0).random(100)
    rank = diagnostics.ranks(p)
    assert sorted(rank) == list(range(1, 101))
    assert rank[p.argmax()] == 1
    assert rank[p.argmin()] == 100


@pytest.mark.parametrize("zeros", [0, 1, 4000])
def test_histogram_counts_every_sample_once(zeros):
    p = np.random.default_rng(0).gamma(0.1, size=T)
    p[:zeros] = 0
    drawn = np.arange(zeros, T, 7)
    found = diagnostics.histogram(p, drawn)
    assert found.zeros == (p == 0).sum()
    assert found.counts_all.sum() + found.zeros == T
    assert found.counts_drawn.sum() == len(drawn)
    assert (found.counts_drawn <= found.counts_all).all()


def test_histogram_of_uniform_p_has_all_in_one_bin_around_1_over_t():
    found = diagnostics.histogram(np.ones(T), np.arange(3))
    (bin_,) = np.flatnonzero(found.counts_all)
    assert found.edges[bin_] <= 1 / T * (1 + 1e-9)
    assert found.edges[bin_ + 1] >= 1 / T * (1 - 1e-9)


# --- one run -------------------------------------------------------------------------------------------------------


def test_class_mix_sums_to_one_and_to_the_counts(store, dataset):
    run = make_run(store)
    mix = frames.picks.class_mix(run, 2, dataset)
    assert mix.groupby("group")["share"].sum().to_numpy() == pytest.approx(1)
    assert mix.groupby("group")["count"].sum().to_dict() == {"all": T, "drawn": 1000}
    of_3 = mix[(mix["group"] == "drawn") & (mix["class"] == "d")]
    assert of_3["count"].item() == (dataset.train.labels[run.drawn(2)] == 3).sum()


def test_images_beyond_the_data_set_are_an_error_and_not_another_image(store, dataset):
    dataset.train.labels = dataset.train.labels[:100]
    with pytest.raises(AATError, match="100 training images"):
        frames.picks.class_mix(make_run(store), 1, dataset)


def test_p_histogram_shares_sum_to_one(store):
    found = frames.picks.p_histogram(make_run(store), 1)
    assert found.groupby("group")["share"].sum().to_dict() == pytest.approx({"all": 1, "drawn": 1})
    assert frames.picks.p_histogram(make_run(store, num_perturbed="all"), 1) is None


def test_while_epochs_play_charts_of_picks_keep_their_shape_and_only_their_numbers_change(store, dataset):
    """So that the browser moves the bars on one axis, and builds no chart anew."""
    run = make_run(store)
    axes = frames.picks.axes(run, dataset)
    shapes, numbers = set(), set()
    for epoch in range(2, run.epoch + 1):
        binned = frames.picks.p_histogram(run, epoch, within=axes.exponents)
        assert np.log10(binned["p_low"].min()) == pytest.approx(axes.exponents[0])
        assert np.log10(binned["p_high"].max()) == pytest.approx(axes.exponents[1])
        assert binned["share"].max() <= axes.share
        mix = frames.picks.class_mix(run, epoch, dataset)
        assert mix["share"].max() <= axes.class_share
        draws = (
            partial(charts.picks.p_histogram, binned, top=axes.share),
            partial(charts.picks.class_mix, mix, top=axes.class_share),
        )
        (draws[0]() | draws[1]()).to_dict()  # as notebooks put them side by side
        specs = [charts.style.page_spec(draw) for draw in draws]
        numbers.add(json.dumps([spec.pop("datasets") for spec in specs]))
        shapes.add(json.dumps(specs))
    assert (len(shapes), len(numbers)) == (1, run.epoch - 1)
    assert run.epoch > 2
    assert frames.picks.axes(make_run(store, num_perturbed="all"), dataset) is None


@pytest.mark.parametrize("order", ["as drawn", "by p", "by class"])
def test_every_order_shows_the_same_images_with_their_own_p(store, dataset, order):
    run = make_run(store)
    shown = frames.picks.recorded_picks(run, 1, dataset, order)
    assert sorted(shown["position"]) == list(range(100))
    assert list(shown["image"]) == list(run.drawn(1)[shown["position"]])
    assert shown["p"].to_numpy() == pytest.approx(run.probabilities(1)[shown["image"]])
    key = {"as drawn": "position", "by p": "rank", "by class": "label"}[order]
    assert shown[key].is_monotonic_increasing


def test_draw_statistics_of_successive_epochs_tell_their_overlap(store):
    run = make_run(store)
    first, second = frames.picks.draw_statistics(run, 1), frames.picks.draw_statistics(run, 2)
    assert first.overlap is None
    assert second.overlap == diagnostics.jaccard(run.drawn(1), run.drawn(2))
    assert second.num_train == T


def test_epoch_metrics_are_the_runs_metrics_long(store):
    run = make_run(store, num_perturbed=0)
    long = frames.runs.epoch_metrics(run)
    wide = long[long["measure"] == "clean"].set_index("epoch")["value"]
    assert wide.to_dict() == pytest.approx(dict(run.metrics()[["epoch", "clean_accuracy_val"]].to_numpy()))
    assert "perturbed" not in set(long["measure"])  # n = 0 perturbs nothing


def drawn_by(chart) -> set[str]:
    """The measures whose values a chart carries."""
    return {row["measure"] for rows in chart.to_dict()["datasets"].values() for row in rows}


def test_every_declared_measure_is_drawn_by_the_chart_of_runs(store):
    long = frames.runs.epoch_metrics(make_run(store))
    drawn = {kind: drawn_by(charts.runs.epoch_metrics(long, kind)) for kind in frames.runs.KINDS}
    declared = {kind: set() for kind in frames.runs.KINDS}
    for kind, name in frames.runs.MEASURES.values():
        declared[kind].add(name)
    assert drawn == declared


def test_a_measure_of_a_new_kind_is_drawn_in_its_unit(store, monkeypatch):
    monkeypatch.setitem(frames.runs.KINDS, "seconds", frames.runs.Kind("time", "seconds"))
    monkeypatch.setitem(frames.runs.MEASURES, "seconds_train", frames.runs.Measure("seconds", "training"))
    run = make_run(store)
    chart = charts.runs.epoch_metrics(frames.runs.epoch_metrics(run), "seconds")
    assert drawn_by(chart) == {"training"}
    layer = chart.to_dict()["layer"][0]["encoding"]["y"]
    assert layer["title"] == "time, seconds"
    assert "domain" not in layer["scale"]
    assert frames.runs.last_losses(run).keys() == {"all", "perturbed", "unperturbed"}


def test_last_losses_leave_out_samples_that_are_not_there(store):
    assert frames.runs.last_losses(make_run(store)) == {"all": 0.25, "perturbed": 0.5, "unperturbed": 0.225}
    assert set(frames.runs.last_losses(make_run(store, num_perturbed=0))) == {"all", "unperturbed"}
    assert set(frames.runs.last_losses(make_run(store, num_perturbed="all"))) == {"all", "perturbed"}


def metrics(store, *clean, fgsm=0.3, pgd=0.25, attacked=0.8, **fields):
    accuracies = {"clean_accuracy_attacked": attacked, "fgsm_accuracy_val": fgsm, "robust_accuracy_val": pgd}
    return make_run(store, epochs=len(clean), **fields).metrics().assign(clean_accuracy_val=clean, **accuracies)


def failed(*arguments, **options):
    return [check.name for check in checks.of_metrics(*arguments, **options) if check.status == "fail"]


def test_a_collapse_is_flagged_but_not_a_run_that_has_not_yet_learnt(store):
    assert failed(metrics(store, 0.9, 0.4), complete=False) == ["clean accuracy collapsed"]
    assert failed(metrics(store, 0.2, 0.4), complete=False) == []
    assert failed(metrics(store, 0.2, 0.24), complete=True) == ["clean accuracy collapsed"]
    assert failed(metrics(store, 0.2, 0.4), complete=True) == []  # low, as of a small network on CIFAR10
    assert checks.of_metrics(metrics(store, 0.2, 0.4), complete=True)[0].status == "warn"
    assert failed(metrics(store, 0.8, 0.9), complete=True) == []


def test_fgsm_accuracy_above_clean_accuracy_of_the_same_images_is_label_leaking(store):
    assert failed(metrics(store, 0.9, fgsm=0.85, pgd=0.8, attacked=0.8), complete=True) == ["label leaking"]
    assert failed(metrics(store, 0.8, fgsm=0.85, pgd=0.8, attacked=0.9), complete=True) == []


@pytest.mark.parametrize(
    ("fgsm", "pgd", "n", "flagged"),
    [(0.6, 0.02, 100, True), (0.3, 0.16, 100, False), (0.15, 0.01, 100, False), (0.6, 0.02, 0, False)],
)
def test_pgd_accuracy_far_below_fgsm_accuracy_is_catastrophic_overfitting_to_fgsm(store, fgsm, pgd, n, flagged):
    found = failed(metrics(store, 0.9, fgsm=fgsm, pgd=pgd, num_perturbed=n), complete=True)
    assert found == ["catastrophic overfitting"] * flagged


@pytest.mark.parametrize(
    ("course", "n", "status"),
    [
        ((0.1, 0.5, 0.1), 100, "fail"),  # fell by 40 points and stayed there
        ((0.1, 0.5, 0.1, 0.45), 100, "warn"),  # and came back
        ((0.1, 0.5, 0.31, 0.16), 100, "pass"),  # slowly: never 20 points at once
        ((0.1, 0.5, 0.1), 0, "pass"),  # standard training overfits to no attack
        ((0.5,), 100, "pass"),
    ],
)
def test_a_fall_of_pgd_accuracy_within_an_epoch_is_catastrophic_overfitting(store, course, n, status):
    frame = metrics(store, *[0.9] * len(course), num_perturbed=n).assign(robust_accuracy_val=course)
    (check,) = (one for one in checks.of_metrics(frame, complete=True) if one.name == "catastrophic overfitting")
    assert check.status == status
    assert check.figures["largest fall"] == pytest.approx(max(0.0, *(-np.diff(course))) if len(course) > 1 else 0.0)


def test_a_network_that_never_resisted_pgd_is_not_said_to_have_fallen(store):
    frame = metrics(store, 0.9, 0.9, fgsm=0.6, num_perturbed=100)
    never, fell = frame.assign(robust_accuracy_val=(0.021, 0.0)), frame.assign(robust_accuracy_val=(0.5, 0.0))
    said = [checks.of_metrics(one, complete=True)[-1].reason for one in (never, fell)]
    assert "never exceeded 2.1%" in said[0]
    assert "fall" not in said[0]
    assert "the largest fall of PGD accuracy is 50.0 points, in epoch 2" in said[1]


def test_runs_table_has_a_row_a_run_and_says_what_is_not_known(store):
    runs = [make_run(store), make_run(store, seed=1, committed=2, evaluated=False), make_run(store, num_perturbed=0)]
    table = frames.runs.runs_table(runs, training=[runs[1].id])
    assert list(table["status"]) == ["complete", "training", "complete"]
    assert list(table["epochs"]) == ["4/4", "2/4", "4/4"]
    assert table["clean accuracy"].tolist()[::2] == [0.85, 0.85]
    assert np.isnan(table["robust accuracy"][1])
    assert table["robust accuracy"][0] == int(1700 * np.exp(-8 * 0.3)) / 2000
    assert table["seconds per epoch"].tolist() == pytest.approx([1.7] * 3)
    assert list(table["norm power"]) == ["1", "1", ""]
    scored = [make_run(store, score=score, norm_power=2) for score in ("loss", "own.scores:mine")]
    assert list(frames.runs.runs_table(scored)["norm power"]) == ["2 of loss", "2 of own.scores:mine"]


# --- names ---------------------------------------------------------------------------------------------------------


def test_runs_that_differ_in_more_than_seed_n_power_and_data_have_recipes_of_different_names():
    one = preset("mini")
    others = [
        {"epsilon": 0.1}, {"epochs": 11}, {"lr": 0.01}, {"replacement": True}, {"drawn_samples": "half"},
        {"attack": {"kind": "pgd"}}, {"attack": {"kind": "pgd", "steps": 7}}, {"attack": {"label": "predicted"}},
        {"attack": {"random_start": True}}, {"attack": {"kind": "pgd", "step_size": 0.01}}, {"model": "ResNet18"},
        {"perturbing_network": "on-the-fly"}, {"score_every": 2}, {"warmup_epochs": 1}, {"augment": True},
    ]  # fmt: skip
    names = {str(recipe(preset("mini", **fields))) for fields in ({}, *others)}
    assert len(names) == len(others) + 1
    for fields in ({"seed": 3}, {"num_perturbed": 7}, {"norm_power": 2.0}, {"num_recorded": 3}):
        assert recipe(preset("mini", **fields)) == recipe(one)


def test_baselines_belong_to_every_recipe_that_trains_alike():
    pgd = recipe(preset("mini", attack={"kind": "pgd"}, replacement=True))
    assert pgd.covers(recipe(preset("mini", num_perturbed=0)))
    assert pgd.covers(recipe(preset("mini", num_perturbed="all", attack={"kind": "pgd"})))
    assert not pgd.covers(recipe(preset("mini", num_perturbed="all")))
    assert not pgd.covers(recipe(preset("mini", num_perturbed=0, epochs=3)))


def test_attacks_and_tests_are_named_with_all_that_is_unusual():
    assert AttackConfig().resolve(0.3).name == "FGSM"
    assert AttackConfig(kind="pgd", steps=7, random_start=False).resolve(0.3).name == "PGD-7 (no random start)"
    assert evaluation_name(make_evaluation(preset("mini"), 1)) == "PGD-40, 2,000 test images"
    attack = {"kind": "pgd", "steps": 10, "step_size": 0.01, "restarts": 5, "random_start": False}
    name = evaluation_name(make_evaluation(preset("mini"), 1, attack=attack))
    assert name == "PGD-10 (step 0.01, 5 restarts, no random start), 2,000 test images"
    fgsm = {"kind": "fgsm", "norm": "linf", "loss": "cross-entropy", "counts": "perturbed image"}
    assert evaluation_name(make_evaluation(preset("mini"), 1, attack=fgsm)) == "FGSM, 2,000 test images"


# --- many runs -----------------------------------------------------------------------------------------------------


@pytest.fixture
def grid(store):
    runs = [
        make_run(store, epochs=1, num_perturbed=n, norm_power=power, seed=seed, num_recorded=1)
        for n, power in ((0, 1.0), (100, 1.0), (100, 2.0), ("all", 1.0))
        for seed in (0, 1)
    ]
    return frames.figures.evaluated([*runs, make_run(store, epochs=1, num_perturbed="all", attack={"kind": "pgd"})])


def test_baselines_stand_in_both_panels_and_all_stands_at_t(grid):
    chosen = frames.figures.recipes(grid, "fashion-mini")[0]
    found = frames.figures.accuracy_against_n(grid, {"fashion-mini": chosen}, frames.figures.tests(grid)[0])
    seen = found.groupby(["panel", "n"])["position"].agg(["size", "first"])
    assert seen.loc["Norm"].to_dict("index") == seen.loc["Squared Norm"].to_dict("index")
    assert seen.loc["Norm"].to_dict("index") == {
        "0": {"size": 2, "first": 0}, "100": {"size": 2, "first": 100}, "all": {"size": 2, "first": T},
    }  # fmt: skip


def test_a_data_set_has_rows_only_of_the_norms_it_was_sampled_by_and_uniform_is_the_last(store):
    n_and_power = ((0, 1.0), (100, 0.0), (100, 1.0), ("all", 1.0))
    runs = [make_run(store, epochs=1, num_perturbed=n, norm_power=power) for n, power in n_and_power]
    frame = frames.figures.evaluated(runs)
    others = frame[frame["norm_power"] == 1].assign(dataset="a")
    bare = frame[frame["n"] == "0"].assign(dataset="b")
    together = pd.concat([others, bare, frame], ignore_index=True)
    chosen = {name: frames.figures.recipes(together, name)[0] for name in frames.figures.datasets(together)}
    found = frames.figures.accuracy_against_n(together, chosen, frames.figures.tests(frame)[0])
    assert found.groupby("dataset")["panel"].agg(set).to_dict() == {
        "a": {"Norm"}, "b": {"Norm"}, "fashion-mini": {"Norm", "Uniform"},
    }  # fmt: skip
    assert list(dict.fromkeys(found["panel"])) == ["Norm", "Uniform"]
    means = frames.figures.over_seeds(found, ["dataset", "panel", "position", "n"])
    drawn = charts.files.svg(charts.figures.accuracy_against_n(found, means, "clean"))
    titles = re.findall(r">([\w-]+: \w+)<", drawn)
    assert titles == ["a: Norm", "b: Norm", "fashion-mini: Norm", "fashion-mini: Uniform"]


def test_each_figure_shows_the_accuracies_that_were_measured(grid):
    chosen, test = frames.figures.recipes(grid, "fashion-mini")[0], frames.figures.tests(grid)[0]
    for robust, expected in ((False, 0.85), (True, int(1700 * np.exp(-2.4)) / 2000)):
        found = frames.figures.accuracy_against_n(grid, {"fashion-mini": chosen}, test, robust=robust)
        assert set(found["accuracy"]) == {expected}
    curves = frames.figures.robustness(grid, "fashion-mini", chosen, test)
    assert set(curves["epsilon"]) == {round(0.05 * k, 2) for k in range(9)}
    assert len(frames.figures.pgd_on_all(grid, test)) == 9


def test_without_choices_a_figure_shows_the_settings_and_the_test_that_most_runs_have(store):
    for seed in (0, 1):
        make_run(store, num_perturbed=100, seed=seed)
    make_run(store, num_perturbed=100, epsilon=0.1)
    frame = frames.figures.evaluated(store.list().runs)
    assert {name: str(one) for name, one in frames.figures.usual_choices(frame)[0].items()} == {
        "fashion-mini": "FGSM at ε = 0.3; StdCNN, 4 epochs"
    }
    assert frames.figures.usual_choices(frame)[1] == frames.figures.tests(frame)[0]
    with pytest.raises(AATError, match="aat evaluate"):
        frames.figures.usual_choices(frame.head(0))


def test_over_seeds_is_mean_and_sample_sd(grid):
    frame = grid[(grid["n"] == "100") & (grid["epsilon"] == 0)].assign(accuracy=[0.5, 0.7, 0.2, 0.2])
    found = frames.figures.over_seeds(frame, ["norm_power"]).set_index("norm_power")
    assert found.loc[1.0, ["mean", "sd", "seeds"]].tolist() == pytest.approx([0.6, np.std([0.5, 0.7], ddof=1), 2])
    again = pd.concat([frame, frame[frame["accuracy"] == 0.5].assign(accuracy=0.3, run="num_recorded 2")])
    found = frames.figures.over_seeds(again, ["norm_power"]).set_index("norm_power")
    assert found.loc[1.0, ["mean", "sd", "seeds"]].tolist() == pytest.approx([0.55, np.std([0.4, 0.7], ddof=1), 2])
    single = frames.figures.over_seeds(frame.head(1), ["n"])
    assert single["sd"].isna().all()
    assert (single["low"] == single["mean"]).all()


def test_runs_tested_before_their_end_are_named(store):
    cut_off = make_run(store, committed=2)
    assert frames.figures.unfinished(frames.figures.evaluated([cut_off])) == [f"{cut_off.id} (epoch 2 of 4)"]


def test_no_evaluation_makes_an_empty_frame_with_all_columns(store):
    assert list(frames.figures.evaluated([make_run(store, evaluated=False)]).columns) == frames.figures.EVALUATED
    assert sorted(frames.figures.evaluated([make_run(store)]).columns) == sorted(frames.figures.EVALUATED)


# --- charts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dark", [False, True])
def test_paper_colours_are_kept_and_no_two_n_share_a_style(dark):
    names = ["all", "100", "0", "1000", "10000", "50", "500", "2500"]
    ordered, colours, dashes = charts.style.n_styles(names, dark=dark)
    assert ordered == ["0", "50", "100", "500", "1000", "2500", "10000", "all"]
    assert len(set(colours)) == len(names)
    assert len({tuple(dash) for dash in dashes}) == len(names)
    assert dict(zip(ordered, colours, strict=True)).items() >= charts.style.PAPER_COLOURS[dark].items()


def test_black_on_a_dark_page_is_not_black():
    assert charts.style.PAPER_COLOURS[False]["0"] == "#000000"
    assert charts.style.PAPER_COLOURS[True]["0"] > "#aaaaaa"


def test_every_chart_is_valid_and_carries_its_data(store, dataset, grid):
    run, test = make_run(store), frames.figures.tests(grid)[0]
    chosen = frames.figures.recipes(grid, "fashion-mini")[0]
    by_n = frames.figures.accuracy_against_n(grid, {"fashion-mini": chosen}, test)
    curves, pgd = frames.figures.robustness(grid, "fashion-mini", chosen, test), frames.figures.pgd_on_all(grid, test)
    made = {
        "loss": charts.runs.epoch_metrics(frames.runs.epoch_metrics(run), "loss"),
        "p": charts.picks.p_histogram(frames.picks.p_histogram(run, 1)),
        "classes": charts.picks.class_mix(frames.picks.class_mix(run, 1, dataset)),
        "Fig. 1": charts.figures.robustness(curves, frames.figures.over_seeds(curves, ["panel", "n", "epsilon"]), test),
        "Fig. 4": charts.figures.accuracy_against_n(
            by_n, frames.figures.over_seeds(by_n, ["dataset", "panel", "position", "n"]), "clean"
        ),
        "attacks": charts.attack.compared(
            pd.DataFrame([("one", "FGSM", 0.5, 0.4, 0.6, 20)] * 5, columns=COMPARED),
        ),
        "Fig. 5": charts.figures.pgd_on_all(pgd, frames.figures.over_seeds(pgd, ["panel", "recipe", "epsilon"]), test),
    }
    for name, chart in made.items():
        spec = chart.to_dict()  # Altair checks it against Vega-Lite's schema
        assert sum(len(rows) for rows in spec["datasets"].values()) > 4, name
        assert len(json.dumps(spec)) < 200_000, name


def test_fig_5_tells_its_recipes_once_and_is_no_wider_than_a_page(store):
    """Vega draws two legends, side by side, for a colour and a dash that do not say the same."""
    for name in ("epoch-start", "on-the-fly"):
        make_run(store, num_perturbed="all", attack={"kind": "pgd"}, perturbing_network=name)
    frame = frames.figures.evaluated(store.list().runs)
    test = frames.figures.tests(frame)[0]
    runs = frames.figures.pgd_on_all(frame, test)
    drawn = charts.files.svg(
        charts.figures.pgd_on_all(runs, frames.figures.over_seeds(runs, ["panel", "recipe", "epsilon"]), test)
    )
    assert drawn.count(">trained with<") == 1
    assert float(re.search(r'<svg [^>]*width="([\d.]+)"', drawn)[1]) < 900


def test_a_chart_in_a_notebook_is_a_picture_too_for_pages_that_run_no_code(store, monkeypatch):
    chart = charts.runs.epoch_metrics(frames.runs.epoch_metrics(make_run(store)), "loss")
    with alt.renderers.enable():
        charts.files.draw_offline()
        bundle, _ = chart._repr_mimebundle_(None, None)
        assert bundle["application/vnd.vegalite.v5+json"] == chart.to_dict()
        assert bundle["image/svg+xml"] == charts.files.svg(chart)
        assert "aria-label" in bundle["image/svg+xml"]
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        bundle, _ = chart._repr_mimebundle_(None, None)
        assert set(bundle) == {"application/vnd.vegalite.v5+json", "text/plain"}


# --- gallery -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("dark", [False, True])
def test_the_sheets_pixels_are_the_images(channels, columns, dark):
    rng = np.random.default_rng(0)
    images = {str(c): rng.integers(0, 256, (7, channels, 28, 28), dtype=np.uint8) for c in range(columns)}
    captions = [f"#{k}\np 0.1" for k in range(7)]
    sheet = np.asarray(Image.open(io.BytesIO(gallery.contact_sheet(images, captions, dark=dark))).convert("RGB"))
    plan = gallery.layout(images, captions)
    assert sheet.shape == (*plan.size(7)[::-1], 3)
    for column, array in enumerate(images.values()):
        for k, image in enumerate(array):
            left, top = plan.corner(k, column)
            seen = sheet[top : top + 28 * plan.scale : plan.scale, left : left + 28 * plan.scale : plan.scale]
            assert (seen == np.broadcast_to(image.transpose(1, 2, 0), (28, 28, 3))).all()


def test_picked_sheet_shows_the_recorded_and_the_clean_images(store, dataset):
    run = make_run(store)
    shown = frames.picks.recorded_picks(run, 2, dataset).head(6)
    found = gallery.picked_images(run, 2, shown, dataset)
    with pytest.raises(AATError, match="column=blurred is unknown; choose one of clean, adversarial, difference"):
        gallery.picked_images(run, 2, shown, dataset, "blurred")
    clean, x_adv = dataset.train.images(run.drawn(2)[:6]), run.x_adv(2)[:6]
    assert found.colours == pixels.meaning(1)
    assert found.largest == gallery.largest_difference(clean, x_adv)
    sheet = np.asarray(Image.open(io.BytesIO(gallery.picked_sheet(run, 2, dataset, count=6))))
    plan = gallery.layout({"a": clean, "b": x_adv, "c": x_adv}, ["\n\n\n"])
    for column, array in enumerate((clean, x_adv, gallery.difference(clean, x_adv, run.config.epsilon))):
        left, top = plan.corner(4, column)
        seen = sheet[top : top + 84 : 3, left : left + 84 : 3, :3]
        assert (seen == array[4].transpose(1, 2, 0)).all()


def test_nothing_recorded_makes_no_sheet(store, dataset):
    assert gallery.picked_sheet(make_run(store, num_perturbed=0), 1, dataset) is None


def test_captions_with_any_letters_do_not_break_the_sheet():
    images = {"clean": np.zeros((1, 1, 28, 28), dtype=np.uint8)}
    assert gallery.contact_sheet(images, ["Σ 猫 " * 50]).startswith(b"\x89PNG")


@pytest.mark.parametrize("picture", [gallery.contact_sheet, gallery.strip])
@pytest.mark.parametrize("shape", [(0, 1, 28, 28), (2, 2, 28, 28), (28, 28)])
def test_what_is_no_image_is_refused(shape, picture):
    with pytest.raises(AATError, match="do not form a sheet"):
        picture({"clean": np.zeros(shape, dtype=np.uint8)})


@pytest.mark.parametrize("channels", [1, 3])
def test_a_strips_rows_are_the_images_side_by_side(channels):
    rng = np.random.default_rng(0)
    rows = {label: rng.integers(0, 256, (5, channels, 28, 28), dtype=np.uint8) for label in ("a", "longer")}
    strip = np.asarray(Image.open(io.BytesIO(gallery.strip(rows, scale=2))))
    assert strip.shape[0] == 2 * 56 + gallery.GAP
    for row, images in enumerate(rows.values()):
        for column, image in enumerate(images):
            top, left = row * (56 + gallery.GAP), strip.shape[1] - (5 - column) * (56 + gallery.GAP) + gallery.GAP
            seen = strip[top : top + 56 : 2, left : left + 56 : 2]
            assert (seen == np.broadcast_to(image.transpose(1, 2, 0), (28, 28, 3))).all()


def test_every_class_and_run_is_named_once_a_panel(store, dataset):
    pytest.importorskip("vl_convert")
    run = make_run(store, epochs=3, num_perturbed=50)
    mix = charts.dynamics.mix_over_epochs(frames.dynamics.mix_over_epochs(run, frames.sample.draw_matrix(run), dataset))
    drawn = charts.files.svg(mix)
    assert [drawn.count(f">{name}</text>") for name in dataset.class_names] == [1] * 10
    both = frames.sample.together([frames.dynamics.unevenness(run, name) for name in ("Norm", "again")])
    assert charts.files.svg(charts.dynamics.unevenness(both)).count(">Norm</text>") == 4


def test_charts_do_not_load_the_grammar_of_iris_and_leave_it_to_be_loaded():
    script = """
import sys
from aat_explore.views import charts
assert "rfc3987_syntax" not in sys.modules
import altair as alt
alt.Chart().mark_point().to_dict()
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
