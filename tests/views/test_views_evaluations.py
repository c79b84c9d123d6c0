"""Which evaluations count: a later one that is narrower, weaker or of an earlier epoch takes nothing away."""

import numpy as np
import pytest
from synthetic import make_evaluation, make_run

from aat_explore.presets import preset
from aat_explore.store import RunDamagedError, Store
from aat_explore.views import checks, frames
from aat_explore.views.evaluations import accuracy_at, counting
from aat_explore.views.summary import summary

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
    row = summary(run)
    return row["clean accuracy"], row["robust accuracy"], row["tested with"]


MEASURED = (0.85, 0.3, "PGD-40, 2,000 test images")  # 600 of 2,000 at ε = 0.3


def test_accuracy_is_not_guessed_between_tested_budgets():
    evaluation = make_evaluation(preset("mini"), 1)
    assert accuracy_at(evaluation, 0.3) is not None
    assert accuracy_at(evaluation, 0.32) is None


def test_a_narrower_grid_replaces_only_the_budgets_that_it_tested(store):
    run = evaluated_run(store, {"epsilons": (0.1, 0.12), "num_correct": (1000, 900)})
    assert headline(run) == MEASURED
    curve = frames.figures.evaluated([run]).set_index("epsilon")["accuracy"]
    assert tuple(curve.index) == tuple(sorted({*GRID, 0.12}))
    assert (curve[0.1], curve[0.12], curve[0.15]) == (0.5, 0.45, 0.6)


@pytest.mark.parametrize("correct", [10, 1999])
def test_an_earlier_epoch_tested_later_does_not_count(store, correct):
    run = evaluated_run(store, {"epoch": 1, "num_correct": (correct,) * 9})
    assert headline(run) == MEASURED
    assert set(frames.figures.evaluated([run])["epoch"]) == {3}


@pytest.mark.parametrize(
    ("attack", "name"),
    [
        ({"kind": "weak-pgd", "steps": 10, "step_size": "ε/10", "random_start": False, "counts": "last iterate"},
         "weak PGD-10 (no random start), 2,000 test images"),
        ({"kind": "transfer", "steps": 40, "from": "mini-n0", "random_start": False, "counts": "last iterate"},
         "transferred PGD-40 (no random start, from mini-n0), 2,000 test images"),
        (FGSM, "FGSM, 2,000 test images"),
    ],
)  # fmt: skip
def test_a_weak_attack_has_its_own_name_and_is_never_the_headline_nor_offered_first(store, attack, name):
    run = evaluated_run(store, {"attack": attack, "num_correct": (1700, *(1600,) * 8)})
    assert headline(run) == MEASURED
    assert frames.figures.tests(frames.figures.evaluated([run])) == ["PGD-40, 2,000 test images", name]
    alone = evaluated_run(Store(store.root / "other"))
    with store.writer(alone.config) as writer:
        writer.add_evaluation(make_evaluation(alone.config, 3, attack=attack, num_images=5000, num_correct=(4000,) * 9))
    assert headline(store.open(alone.id))[1:] == MEASURED[1:]


def test_a_weaker_attack_is_neither_the_headline_nor_offered_first(store):
    run = evaluated_run(store, {"attack": PGD_1, "num_correct": (1700,) * 9})
    assert headline(run) == MEASURED
    assert frames.figures.tests(frames.figures.evaluated([run])) == [
        "PGD-40, 2,000 test images",
        "PGD-1, 2,000 test images",
    ]


def test_a_test_on_fewer_images_is_neither_the_headline_nor_offered_first(store):
    run = evaluated_run(store, {"num_images": 100, "num_correct": (100, *(0,) * 8)})
    assert headline(run) == MEASURED
    assert frames.figures.tests(frames.figures.evaluated([run])) == [
        "PGD-40, 2,000 test images",
        "PGD-40, 100 test images",
    ]


def test_fgsm_alone_is_no_robust_accuracy_and_is_offered_last(store):
    run = evaluated_run(store, {"attack": FGSM, "num_correct": (1700, *(0,) * 8)})
    assert headline(run) == MEASURED
    other = make_run(store, epochs=3, seed=1, evaluated=False)
    with store.writer(other.config) as writer:
        writer.add_evaluation(make_evaluation(other.config, 3, attack=FGSM))
    other = store.open(other.id)
    assert headline(other) == (0.85, None, None)
    assert (
        frames.figures.tests(frames.figures.evaluated([run, other]))[-1] == "FGSM, 2,000 test images"
    )  # though of more runs


def test_the_newest_of_equal_evaluations_counts(store):
    run = evaluated_run(store, {"num_correct": (1000,) * 9})
    assert headline(run) == (0.5, 0.5, "PGD-40, 2,000 test images")


# --- The worst case over attacks -------------------------------------------------------------------------------------

AUTOATTACK = {"kind": "autoattack", "norm": "linf", "version": "standard"}


def with_verdicts(store, *tried):
    """A run tested at ε = 0 and 0.3 by attacks, each with the verdicts (ε, N) it gave."""
    config = preset("mini", epochs=1)
    make_run(store, epochs=1, evaluated=False)
    with store.writer(config) as writer:
        for second, (attack, verdicts) in enumerate(tried):
            correct = np.array(verdicts, dtype=bool)[None]
            counts = {"num_images": correct.shape[-1], "num_correct": tuple(map(int, correct[-1].sum(axis=-1)))}
            fields = {"attack": attack, "attacks": ("it",), "epsilons": (0.0, 0.3), **counts}
            created = f"2026-01-01T00:00:{second:02d}Z"
            writer.add_evaluation(make_evaluation(config, 1, created=created, **fields), correct)
    return store.open(config.run_id)


def test_the_worst_case_is_taken_image_by_image(store):
    """Each leaves two of four, together they leave one: less than the least of the two."""
    run = with_verdicts(store, (PGD_1, [[1, 1, 1, 1], [1, 1, 0, 0]]), (AUTOATTACK, [[1, 1, 1, 1], [0, 1, 1, 0]]))
    tests = counting(run)
    assert {name: test.num_correct for name, test in tests.items()} == {
        "PGD-1, 4 test images": (4, 2),
        "AutoAttack, 4 test images": (4, 2),
        "worst of AutoAttack and PGD-1, 4 test images": (4, 1),
    }
    assert headline(run) == (1.0, 0.25, "worst of AutoAttack and PGD-1, 4 test images")


def test_one_attack_or_fgsm_beside_it_has_no_worst_case(store):
    run = with_verdicts(store, (PGD_1, [[1, 1], [1, 0]]), (FGSM, [[1, 1], [0, 0]]))
    assert len(counting(run)) == 2


def test_verdicts_that_do_not_add_up_are_damage(store):
    run = with_verdicts(store, (PGD_1, [[1, 1], [1, 0]]))
    (made,) = run.evaluations()
    with pytest.raises(RunDamagedError, match="does not add up to the evaluation's counts"):
        run.verdicts(made.model_copy(update={"num_correct": (2, 2)}))
    with pytest.raises(RunDamagedError, match="is not a bit for each attack, ε and image"):
        run.verdicts(made.model_copy(update={"num_images": 20}))


@pytest.mark.parametrize(("lost", "status"), [(1, "pass"), (2, "warn"), (3, "fail")])
def test_pgd_far_above_autoattack_is_a_failure(store, lost, status):
    """One point is within what PGD may miss, two are worth a word, more are a failure."""
    left = [0] * lost + [1] * (100 - lost)
    run = with_verdicts(store, (PGD_1, [[1] * 100, [1] * 100]), (AUTOATTACK, [[1] * 100, left]))
    (check,) = checks.of_evaluations(run)
    assert (check.name, check.status) == ("AutoAttack finds more", status)
    assert check.figures["AutoAttack accuracy"] == sum(left) / 100
    assert (check.name in checks.flags(run)) == (status == "fail")


def test_robustness_over_epochs_is_of_the_training_epsilon_and_clean(store):
    run = evaluated_run(store, {"epoch": 1, "num_correct": (1500, *range(1400, 600, -100))})
    table = frames.runs.robustness_over_epochs(run).set_index(["epsilon", "epoch"])["accuracy"]
    assert table.to_dict() == {(0.0, 1): 0.75, (0.0, 3): 0.85, (0.3, 1): 900 / 2000, (0.3, 3): 0.3}
    assert frames.runs.robustness_over_epochs(evaluated_run(Store(store.root / "other"))).empty
