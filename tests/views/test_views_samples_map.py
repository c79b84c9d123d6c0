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
    """A run whose epochs recorded these scores and no others."""

    def __init__(self, run, scores):
        self._run, self._scores = run, scores

    def __getattr__(self, name):
        return getattr(self._run, name)

    def scores(self, epoch):
        return self._scores.get(epoch, {})


def older(run):
    """The run as an older version recorded it."""
    return WithScores(run, {})


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
    uniform = older(make_run(store, num_perturbed=300, epochs=1, norm_power=0))
    assert samples_map.of_epoch(uniform, 1).keys() == {"p"}
    run = make_run(store, num_perturbed=300, epochs=1)
    without = older(rewrite(run, "metrics.parquet", run.metrics().assign(sum_scores=np.nan)))
    assert samples_map.of_epoch(without, 1).keys() == {"p"}


@pytest.mark.parametrize("n", [0, "all"])
def test_epochs_that_draw_from_no_p_have_no_values(store, n):
    run = make_run(store, num_perturbed=n, epochs=2)
    assert samples_map.of_epoch(run, 1) == {}
    assert samples_map.offered(run) == ("times picked",)


@pytest.mark.parametrize(("score", "name"), [("loss", "loss"), ("my_scores:one", "score"), (None, "gradient-norm")])
def test_the_score_that_p_was_computed_from_has_its_own_name(store, score, name):
    run = make_run(store, num_perturbed=300, epochs=1, **({} if score is None else {"score": score}))
    assert samples_map.of_epoch(older(run), 1).keys() == {"p", name}


def test_recorded_scores_are_offered_and_taken_as_they_are(run):
    recorded = run.scores(2)
    values = samples_map.of_epoch(run, 2)
    assert values.keys() == {"p", "gradient-norm", "loss", "margin", "entropy"}
    for name, scores in recorded.items():
        assert np.array_equal(values[name], scores)
    assert samples_map.of_epoch(run, 2, ("loss",)).keys() == {"loss"}
    assert samples_map.offered(run) == (
        "p", "times picked", "gradient-norm", "loss", "margin", "entropy",
        "confidence", "variability", "mean p", "variability of p",
    )  # fmt: skip


def test_an_older_run_offers_what_p_and_picks_tell(run):
    assert samples_map.offered(older(run)) == ("p", "times picked", "gradient-norm", "mean p", "variability of p")


def test_scores_under_names_that_this_version_does_not_know_are_left_out(run):
    newer = WithScores(run, {1: {"of-a-later-version": np.ones(5000, dtype=np.float32)}})
    assert samples_map.of_epoch(newer, 1).keys() == {"p", "gradient-norm"}


@pytest.mark.parametrize(("score_every", "with_loss"), [(1, {1, 4}), (3, {1, 2, 3, 4, 5})])
def test_between_scoring_passes_the_scores_are_those_that_p_was_made_from(store, score_every, with_loss):
    run = make_run(store, num_perturbed=300, epochs=EPOCHS, score_every=score_every)
    scored = {epoch: {"loss": np.full(5000, epoch, dtype=np.float32)} for epoch in (1, 4)}
    values = {epoch: samples_map.of_epoch(WithScores(run, scored), epoch, ("loss",)) for epoch in range(1, EPOCHS + 1)}
    assert {epoch for epoch, of_samples in values.items() if of_samples} == with_loss
    for epoch in with_loss:
        assert set(values[epoch]["loss"].tolist()) == {1 if epoch < 4 else 4}


def test_the_data_map_is_mean_and_sd_of_the_true_class_probability_after_each_epoch(run):
    probability = np.exp(-np.stack([run.scores(epoch)["loss"] for epoch in range(2, EPOCHS + 1)]).astype(np.float64))
    values = samples_map.data_map(run)
    assert values["confidence"] == pytest.approx(probability.mean(axis=0), rel=1e-6)
    assert values["variability"] == pytest.approx(probability.std(axis=0), rel=1e-5, abs=1e-7)
    assert {array.dtype for array in values.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("with_loss", "is_offered"), [({1, 2}, False), ({1, 2, 5}, True), ({1}, False), (set(), False)]
)
def test_a_data_map_needs_the_losses_of_two_trained_networks(run, with_loss, is_offered):
    loss = np.arange(5000, dtype=np.float32)
    with_few = WithScores(run, {epoch: {"loss": loss} for epoch in with_loss})
    assert (samples_map.data_map(with_few) is not None) == is_offered
    assert samples_map.has_data_map(with_few) == is_offered
    assert ("confidence" in samples_map.offered(with_few)) == is_offered


def test_the_map_of_p_is_mean_and_sd_over_mean_of_p(run):
    p = np.stack([run.probabilities(epoch) for epoch in range(1, EPOCHS + 1)]).astype(np.float64)
    values = samples_map.map_of_p(frames.sample.sample_map(run))
    assert values["mean p"] == pytest.approx(5000 * p.mean(axis=0), rel=1e-5)
    assert values["variability of p"] == pytest.approx(p.std(axis=0) / p.mean(axis=0), rel=1e-4, abs=1e-4)


def test_times_picked_so_far_count_the_epochs_up_to_this(run):
    is_drawn = frames.sample.draw_matrix(run)
    for epoch in (1, 3, EPOCHS):
        expected = [sum(row in run.drawn(e) for e in range(1, epoch + 1)) for row in range(50)]
        times = samples_map.times_so_far(is_drawn, epoch)
        assert times[:50].tolist() == expected
        assert times.sum() == 300 * epoch


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
