"""What became of some samples in a run."""

import numpy as np
import pandas as pd
import pytest
from synthetic import make_run

from aat_explore import datasets
from aat_explore.errors import AATError
from aat_explore.views import frames


def fates_of(run, rows, dataset=None):
    return frames.fates.fates(run, frames.sample.p_matrix(run), frames.sample.draw_matrix(run), rows, dataset)


def test_every_number_is_what_a_loop_over_the_epochs_counts(store):
    run, rows = make_run(store, num_perturbed=1500, epochs=5), [0, 7, 4999, 123]
    dataset = datasets.load("fashion-mini")
    table = fates_of(run, rows, dataset)
    for row, found in zip(rows, table.to_dict("records"), strict=True):
        epochs = [epoch for epoch in range(1, 6) if row in run.drawn(epoch)]
        p = [5000 * float(run.probabilities(epoch)[row]) for epoch in range(1, 6)]
        assert found["times picked"] == len(epochs)
        assert found["share of epochs"] == len(epochs) / 5
        if epochs:
            assert (found["first picked"], found["last picked"]) == (epochs[0], epochs[-1])
        assert found["mean p, × uniform"] == pytest.approx(np.mean(p))
        assert found["last p, × uniform"] == pytest.approx(p[-1])
        assert found["last rank"] == 1 + int((run.probabilities(5) > run.probabilities(5)[row]).sum())
        assert found["class"] == dataset.class_names[dataset.train.labels[row]]


def test_a_sample_never_picked_has_no_epochs(store):
    run = make_run(store, num_perturbed=10, epochs=2)
    row = next(row for row in range(5000) if not any(row in run.drawn(epoch) for epoch in (1, 2)))
    [found] = fates_of(run, [row]).to_dict("records")
    assert found["times picked"] == 0
    assert pd.isna(found["first picked"])
    assert pd.isna(found["last picked"])


@pytest.mark.parametrize("n", [0, "all"])
def test_runs_without_p_have_no_p_and_no_rank(store, n):
    table = fates_of(make_run(store, num_perturbed=n, epochs=2), [0, 1])
    assert table["times picked"].tolist() == ([0, 0] if n == 0 else [2, 2])
    assert table[["mean p, × uniform", "last rank"]].isna().all().all()


def test_two_runs_stand_beside_each_other_by_name(store):
    runs = [make_run(store, num_perturbed=100, seed=seed, epochs=2) for seed in (0, 1)]
    rows = [3, 4]
    both = frames.fates.beside(*(fates_of(run, rows) for run in runs), ("A", "B"))
    for number in frames.fates.NUMBERS:
        for name, run in zip("AB", runs, strict=True):
            assert both[f"{number}: {name}"].tolist() == fates_of(run, rows)[number].tolist()


def test_a_row_beyond_t_is_named(store):
    with pytest.raises(AATError, match="row=5000 is not one of the 5000 samples"):
        fates_of(make_run(store, num_perturbed=100, epochs=1), [5000])
