"""Which evaluations count: a later one that is narrower, weaker or of an earlier epoch takes nothing away."""

import pytest
from synthetic import make_evaluation, make_run

from aat_explore.config import preset
from aat_explore.store import Store
from aat_explore.views import frames
from aat_explore.views.evaluations import accuracy_at

GRID = tuple(round(0.05 * k, 2) for k in range(9))
PGD_1 = {"kind": "pgd", "steps": 1, "step_size": None, "restarts": 1, "random_start": True}
FGSM = {"kind": "fgsm", "norm": "linf", "loss": "cross-entropy", "counts": "perturbed image"}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def evaluated_run(store, *evaluations):
    """A run of 3 epochs, evaluated by PGD-40 at GRID and then in other ways; the newest last."""
    config = preset("mini", epochs=3)
    make_run(store, epochs=3, evaluated=False)
    with store.writer(config) as writer:
        for second, fields in enumerate(({"num_correct": (1700, *range(1600, 0, -200))}, *evaluations)):
            created = f"2026-01-01T00:00:{second:02d}Z"
            writer.add_evaluation(make_evaluation(config, **({"epoch": 3, "created": created} | fields)))
    return store.open(config.run_id)


def headline(run):
    row = frames.summary(run)
    return row["clean accuracy"], row["robust accuracy"], row["tested with"]


MEASURED = (0.85, 0.3, "PGD-40, 2,000 test images")  # 600 of 2,000 at ε = 0.3


def test_accuracy_is_not_guessed_between_tested_budgets():
    evaluation = make_evaluation(preset("mini"), 1)
    assert accuracy_at(evaluation, 0.3) is not None
    assert accuracy_at(evaluation, 0.32) is None


def test_a_narrower_grid_replaces_only_the_budgets_that_it_tested(store):
    run = evaluated_run(store, {"epsilons": (0.1, 0.12), "num_correct": (1000, 900)})
    assert headline(run) == MEASURED
    curve = frames.evaluated([run]).set_index("epsilon")["accuracy"]
    assert tuple(curve.index) == tuple(sorted({*GRID, 0.12}))
    assert (curve[0.1], curve[0.12], curve[0.15]) == (0.5, 0.45, 0.6)


@pytest.mark.parametrize("correct", [10, 1999])
def test_an_earlier_epoch_tested_later_does_not_count(store, correct):
    run = evaluated_run(store, {"epoch": 1, "num_correct": (correct,) * 9})
    assert headline(run) == MEASURED
    assert set(frames.evaluated([run])["epoch"]) == {3}


def test_a_weaker_attack_is_neither_the_headline_nor_offered_first(store):
    run = evaluated_run(store, {"attack": PGD_1, "num_correct": (1700,) * 9})
    assert headline(run) == MEASURED
    assert frames.tests(frames.evaluated([run])) == ["PGD-40, 2,000 test images", "PGD-1, 2,000 test images"]


def test_a_test_on_fewer_images_is_neither_the_headline_nor_offered_first(store):
    run = evaluated_run(store, {"num_images": 100, "num_correct": (100, *(0,) * 8)})
    assert headline(run) == MEASURED
    assert frames.tests(frames.evaluated([run])) == ["PGD-40, 2,000 test images", "PGD-40, 100 test images"]


def test_fgsm_alone_is_no_robust_accuracy_and_is_offered_last(store):
    run = evaluated_run(store, {"attack": FGSM, "num_correct": (1700, *(0,) * 8)})
    assert headline(run) == MEASURED
    other = make_run(store, epochs=3, seed=1, evaluated=False)
    with store.writer(other.config) as writer:
        writer.add_evaluation(make_evaluation(other.config, 3, attack=FGSM))
    other = store.open(other.id)
    assert headline(other) == (0.85, None, None)
    assert frames.tests(frames.evaluated([run, other]))[-1] == "FGSM, 2,000 test images"  # though of more runs


def test_the_newest_of_equal_evaluations_counts(store):
    run = evaluated_run(store, {"num_correct": (1000,) * 9})
    assert headline(run) == (0.5, 0.5, "PGD-40, 2,000 test images")
