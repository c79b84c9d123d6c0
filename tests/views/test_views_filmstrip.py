"""The filmstrip: epochs, and the samples that each of them picked."""

import numpy as np
import pytest
from synthetic import make_run

from aat_explore import datasets
from aat_explore.errors import AATError
from aat_explore.views.frames import filmstrip


@pytest.fixture
def run(store):
    return make_run(store, num_perturbed=300, epochs=20)


@pytest.mark.parametrize("at_most", [1, 2, 8, 19, 20, 50])
def test_the_epochs_shown_ascend_from_the_first_to_the_last(run, at_most):
    epochs = filmstrip.epochs_shown(run, at_most)
    assert epochs == sorted(set(epochs))
    assert len(epochs) == min(at_most, 20)
    assert epochs[0] == 1
    if at_most > 1:
        assert epochs[-1] == 20


def test_epochs_that_drew_nothing_are_not_shown(store):
    assert filmstrip.epochs_shown(make_run(store, num_perturbed=0)) == []


def test_each_row_holds_what_its_epoch_drew_in_the_order_asked_for(run):
    for order in filmstrip.ORDERS:
        for row in filmstrip.filmstrip(run, [1, 5, 20], 1000, order):
            assert sorted(row.rows) == sorted(run.drawn(row.epoch))
            assert len(row.titles) == len(row.rows)
    [row] = filmstrip.filmstrip(run, [5], 40, "most likely")
    p = run.probabilities(5)
    assert len(row.rows) == 40
    assert (np.diff(p[row.rows]) <= 0).all()
    assert p[row.rows].min() >= np.sort(p[run.drawn(5)])[-40]


def test_new_picks_come_before_those_of_the_epoch_before(run):
    [row] = filmstrip.filmstrip(run, [5], 1000, "newly picked")
    again = np.isin(row.rows, run.drawn(4))
    assert again.any()
    assert (np.diff(again.astype(int)) >= 0).all()


def test_the_most_often_picked_come_first(run):
    epochs = [1, 2, 3, 4]
    times = np.bincount(np.concatenate([run.drawn(epoch) for epoch in epochs]))
    for row in filmstrip.filmstrip(run, epochs, 1000, "most often picked"):
        assert (np.diff(times[row.rows]) <= 0).all()
        assert f"picked in {times[row.rows[0]]} of the 4 epochs shown" in row.titles[0]


def test_only_the_classes_asked_for_are_shown(run):
    dataset = datasets.load("fashion-mini")
    [row] = filmstrip.filmstrip(run, [5], 1000, "as drawn", dataset, ["Bag", "Coat"])
    labels = dataset.train.labels
    wanted = [dataset.class_names.index(name) for name in ("Bag", "Coat")]
    assert list(row.rows) == [i for i in run.drawn(5) if labels[i] in wanted]


def test_an_unknown_order_of_a_filmstrip_is_an_error(run):
    with pytest.raises(AATError, match="order=by luck is unknown"):
        filmstrip.filmstrip(run, [1], 10, "by luck")
