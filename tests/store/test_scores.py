"""Scores of all samples are stored as float16 exactly where that ranks the samples alike, and come back as float32."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr
from synthetic import make_record

from aat_explore.errors import AATError
from aat_explore.presets import preset
from aat_explore.store import Store
from aat_explore.store.scores import compact

CONFIG = preset("mini", num_perturbed=20, num_recorded=3, epochs=3)
NUM_TRAIN = 60
UNIFORM = np.random.default_rng(0).uniform(0.1, 1, 5000).astype(np.float32)


def record(epoch: int, **fields):
    made = make_record(CONFIG, epoch, NUM_TRAIN)
    return type(made)(**vars(made) | fields)


def written(root, scores):
    with Store(root).writer(CONFIG) as writer:
        writer.commit(record(writer.epoch + 1, scores=scores))
    return Store(root).open(CONFIG.run_id)


# --- float16 or float32 ----------------------------------------------------------------------------------------------

VALUES = st.one_of(
    st.just(0.0),
    st.floats(0, 2, width=32),
    st.floats(1, 1.0625, width=32),
    st.floats(0, 2.0**-10, width=32),
    st.floats(2.0**-26, 2.0**-24, width=32),
    st.floats(0, 1e5, width=32),
)


@given(arrays(np.float32, st.integers(1, 60), elements=VALUES))
def test_float16_is_taken_exactly_where_it_keeps_the_ranks_and_no_value_vanishes_or_overflows(scores):
    kept = all(score == 0 or 2.0**-25 < score < 65520 for score in scores.tolist())  # what rounds to 0, and to infinity
    half = np.minimum(scores, 65504).astype(np.float16).astype(np.float64)
    alike = np.ptp(scores) == 0 or (np.ptp(half) > 0 and spearmanr(scores, half)[0] >= 1 - 1e-4)
    stored = compact("loss", scores)
    assert stored.dtype == (np.float16 if kept and alike else np.float32)
    np.testing.assert_array_equal(stored, (half if stored.dtype == np.float16 else scores).astype(stored.dtype))


@pytest.mark.parametrize(
    ("scores", "kind"),
    [
        (UNIFORM, np.float16),
        (np.zeros(9), np.float16),
        (np.append(UNIFORM, 0), np.float16),
        (np.append(UNIFORM, 65504), np.float16),
        (np.append(UNIFORM, 65520), np.float32),  # infinite in float16
        (np.append(UNIFORM, 2.0**-24), np.float16),  # the smallest
        (np.append(UNIFORM, 2.0**-25), np.float32),  # 0 in float16
        (1 + UNIFORM / 1000, np.float32),  # two values in float16
        (1 + UNIFORM / 10, np.float16),  # a hundred
        (UNIFORM * 2.0**-21, np.float32),  # eight values, of 6e-8 to 5e-7
        (np.linspace(1, 1.0001, 9), np.float32),  # one
    ],
)
def test_float16_is_not_taken_where_values_vanish_overflow_or_fall_together(scores, kind):
    assert compact("loss", scores.astype(np.float32)).dtype == kind


@given(arrays(np.float32, st.integers(2, 60), elements=VALUES))
def test_storing_never_swaps_two_samples(scores):
    order = np.argsort(scores, kind="stable")
    assert (np.diff(compact("loss", scores)[order]) >= 0).all()


# --- Through the cache -----------------------------------------------------------------------------------------------


def test_scores_come_back_by_name_as_float32_as_they_were_stored(tmp_path):
    given_scores = {"loss": np.geomspace(1e-9, 9, NUM_TRAIN), "my-score-2": UNIFORM[:NUM_TRAIN]}
    run = written(tmp_path, given_scores)
    kinds = {name: np.load(run.path / f"epochs/0001/score-{name}.npy").dtype for name in given_scores}
    assert kinds == {"loss": np.float32, "my-score-2": np.float16}
    scores = run.scores(1)
    assert list(scores) == list(given_scores)
    for name, values in given_scores.items():
        assert scores[name].dtype == np.float32
        np.testing.assert_array_equal(scores[name], values.astype(kinds[name]))
    run.verify()


def test_an_epoch_without_scores_has_none_and_so_has_one_that_does_not_exist(tmp_path):
    written(tmp_path, {})
    run = written(tmp_path, {"loss": UNIFORM[:NUM_TRAIN]})
    assert [list(run.scores(epoch)) for epoch in (1, 2, 3)] == [[], ["loss"], []]


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("My score", np.ones(NUM_TRAIN), r"scores\['My score'\] is not a name.*use lower-case letters"),
        ("../loss", np.ones(NUM_TRAIN), "is not a name for a file"),
        ("", np.ones(NUM_TRAIN), "is not a name for a file"),
        ("loss", np.full(NUM_TRAIN, np.nan), r"scores\['loss'\] is not one finite number >= 0 a sample"),
        ("loss", np.full(NUM_TRAIN, 1e39), "is not one finite number >= 0"),  # infinite in float32
        ("loss", -np.ones(NUM_TRAIN), "is not one finite number >= 0"),
        ("loss", np.ones((NUM_TRAIN, 1)), "is not one finite number >= 0"),
    ],
)
def test_scores_that_could_not_be_read_back_are_refused_and_commit_nothing(tmp_path, name, values, said):
    written(tmp_path, {})
    with pytest.raises(AATError, match=said):
        written(tmp_path, {name: values})
    run = written(tmp_path, {"loss": UNIFORM[:NUM_TRAIN]})
    assert run.epoch == 2
    run.verify()
