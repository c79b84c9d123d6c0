"""The map of all samples: what an axis can be, and the values along it, against plain numpy."""

import numpy as np
import pytest
from synthetic import make_run, rewrite

from aat_explore.views import frames
from aat_explore.views.frames import samples_map

EPOCHS = 5


@pytest.fixture
def run(store):
    return make_run(store, num_perturbed=300, epochs=EPOCHS)


class WithScores:
    """A run that recorded scores, as newer ones do."""

    def __init__(self, run, **scores):
        self._run, self._scores = run, scores

    def __getattr__(self, name):
        return getattr(self._run, name)

    def scores(self, epoch):
        return self._scores


# --- Values ----------------------------------------------------------------------------------------------------------


def test_p_as_a_multiple_of_uniform_has_mean_1(run):
    p = samples_map.of_epoch(run, 2)["p"]
    assert p.dtype == np.float32
    assert p == pytest.approx(run.probabilities(2).astype(np.float64) * 5000)
    assert p.mean(dtype=np.float64) == pytest.approx(1)


@pytest.mark.parametrize("k", [0.5, 1.0, 2.0, 3.0])
def test_the_score_is_recovered_from_its_p_and_its_sum(store, k):
    run = make_run(store, num_perturbed=300, epochs=1, norm_power=k)
    scores = np.random.default_rng(0).gamma(2.0, size=4000)
    p = (scores**k / (scores**k).sum()).astype(np.float32)
    total = run.rows()[0].sum_scores
    recovered = samples_map.score_from_p(run, 1, p)
    assert recovered == pytest.approx(scores * total / scores.sum(), rel=1e-6)


def test_a_p_too_small_to_be_exact_gives_the_score_0(store):
    run = make_run(store, num_perturbed=300, epochs=1, norm_power=2)
    p = np.array([1.0, 1e-30, 1e-42, 0.0], dtype=np.float32)
    total = run.rows()[0].sum_scores
    assert samples_map.score_from_p(run, 1, p) == pytest.approx([total, total * 1e-15, 0, 0], rel=1e-6)


def test_uniform_p_and_a_sum_that_was_not_recorded_tell_no_score(store):
    uniform = make_run(store, num_perturbed=300, epochs=1, norm_power=0)
    assert samples_map.of_epoch(uniform, 1).keys() == {"p"}
    run = make_run(store, num_perturbed=300, epochs=1)
    without = rewrite(run, "metrics.parquet", run.metrics().assign(sum_scores=np.nan))
    assert samples_map.of_epoch(without, 1).keys() == {"p"}


@pytest.mark.parametrize("n", [0, "all"])
def test_epochs_that_draw_from_no_p_have_no_values(store, n):
    run = make_run(store, num_perturbed=n, epochs=2)
    assert samples_map.of_epoch(run, 1) == {}
    assert samples_map.offered(run) == ("times picked",)


@pytest.mark.parametrize(("score", "name"), [("loss", "loss"), ("my_scores:one", "score"), (None, "gradient-norm")])
def test_the_score_that_p_was_computed_from_has_its_own_name(store, score, name):
    run = make_run(store, num_perturbed=300, epochs=1, **({} if score is None else {"score": score}))
    assert samples_map.of_epoch(run, 1).keys() == {"p", name}


def test_recorded_scores_are_offered_and_taken_as_they_are(run):
    loss, norm = np.arange(5000, dtype=np.float32), np.ones(5000, dtype=np.float32)
    newer = WithScores(run, **{"loss": loss, "gradient-norm": norm, "of a later version": loss})
    values = samples_map.of_epoch(newer, 1)
    assert values.keys() == {"p", "loss", "gradient-norm"}
    assert np.array_equal(values["loss"], loss)
    assert np.array_equal(values["gradient-norm"], norm)
    assert samples_map.of_epoch(newer, 1, ("loss",)).keys() == {"loss"}
    assert samples_map.offered(newer) == (
        "p", "times picked", "gradient-norm", "loss", "mean p", "variability of p",
    )  # fmt: skip


def test_the_data_map_is_mean_and_sd_over_mean_of_p(run):
    p = np.stack([run.probabilities(epoch) for epoch in range(1, EPOCHS + 1)]).astype(np.float64)
    values = samples_map.over_epochs(frames.sample.sample_map(run))
    assert values["mean p"] == pytest.approx(5000 * p.mean(axis=0), rel=1e-5)
    assert values["variability of p"] == pytest.approx(p.std(axis=0) / p.mean(axis=0), rel=1e-4, abs=1e-4)


def test_times_picked_so_far_count_the_epochs_up_to_this(run):
    is_drawn = frames.sample.draw_matrix(run)
    for epoch in (1, 3, EPOCHS):
        expected = [sum(row in run.drawn(e) for e in range(1, epoch + 1)) for row in range(50)]
        found = samples_map.times_so_far(is_drawn, epoch)
        assert found[:50].tolist() == expected
        assert found.sum() == 300 * epoch


# --- Axes ------------------------------------------------------------------------------------------------------------


def test_zeros_have_no_place_on_a_log_axis_and_are_counted():
    values = np.array([0, 1e-9, 1, 0, 2, 5], dtype=np.float32)
    log, linear = samples_map.axis("loss", values), samples_map.axis("times picked", values)
    assert (log.log, log.nowhere, log.title) == (True, 2, "loss J, nats (log scale)")
    assert (linear.log, linear.nowhere, linear.whole) == (False, 0, True)
    other = samples_map.axis("p", np.array([1, 0, 1, 0, 1, 1], dtype=np.float32))
    assert samples_map.nowhere((log, linear)) == 2
    assert samples_map.nowhere((log, other)) == 3


def test_an_axis_is_linear_where_at_least_half_of_its_values_are_0():
    axis = samples_map.axis("loss", np.array([0, 0, 1, 2], dtype=np.float32))
    assert (axis.log, axis.nowhere, axis.title) == (False, 0, "loss J, nats")


def test_the_facts_are_the_counts_and_the_medians_of_both_groups():
    picked = np.array([True, False, False, True, False])
    x = samples_map.axis("loss", np.array([3, 1, 2, 5, 9], dtype=np.float32))
    y = samples_map.axis("times picked", np.array([1, 0, 0, 2, 1], dtype=np.float32))
    facts = samples_map.facts((x, y), picked)
    assert "5 samples, 2 of them picked." in facts
    assert "x: loss J, nats (log scale), median 4 picked, 2 others." in facts
    assert "y: times picked so far, median 1.5 picked, 0 others." in facts
    assert "others" not in samples_map.facts((x, y), np.ones(5, bool))
