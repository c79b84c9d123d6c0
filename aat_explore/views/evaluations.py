"""Which of a run's evaluations count, so that a narrower, weaker or earlier one never replaces a better one."""

from collections.abc import Sequence

import numpy as np

from aat_explore.records import Evaluation
from aat_explore.views.recipes import evaluation_name


def counting(evaluations: Sequence[Evaluation]) -> dict[str, Evaluation]:
    """The tests that count, by name: those of the latest epoch tested on test images; `evaluations` oldest first.

    Evaluations of one name, which are of the same attack and images, are merged: for each ε the newest counts.
    """
    found = [evaluation for evaluation in evaluations if evaluation.split == "test"]
    latest = max((evaluation.epoch for evaluation in found), default=0)
    merged: dict[str, Evaluation] = {}
    for newer in (evaluation for evaluation in found if evaluation.epoch == latest):
        name = evaluation_name(newer)
        both = [merged[name], newer] if name in merged else [newer]
        counts = {round(e, 6): (e, c) for one in both for e, c in zip(one.epsilons, one.num_correct, strict=True)}
        ascending = sorted(counts.values())
        fields = {"epsilons": tuple(e for e, _ in ascending), "num_correct": tuple(c for _, c in ascending)}
        merged[name] = newer.model_copy(update=fields)
    return merged


def headline(evaluations: Sequence[Evaluation], epsilon: float) -> tuple[float | None, float | None, str | None]:
    """Clean accuracy, robust accuracy at `epsilon` and the test it is of; None where not measured.

    Each by the tests on most images; of several attacks the one that leaves least counts, but never FGSM alone.
    """
    clean: list[tuple[int, float]] = []
    robust: list[tuple[int, float, str]] = []
    for name, test in counting(evaluations).items():
        if (accuracy := accuracy_at(test, 0.0)) is not None:
            clean.append((test.num_images, accuracy))
        if (accuracy := accuracy_at(test, epsilon)) is not None and test.attack.get("kind") != "fgsm":
            robust.append((-test.num_images, accuracy, name))
    _, least, hardest = min(robust) if robust else (0, None, None)
    return max(clean)[1] if clean else None, least, hardest


def accuracy_at(evaluation: Evaluation, epsilon: float) -> float | None:
    """Accuracy at a budget that was tested; None rather than a guess between two that were."""
    for tested, accuracy in zip(evaluation.epsilons, evaluation.accuracies, strict=True):
        if np.isclose(tested, epsilon, rtol=0, atol=1e-6):
            return accuracy
    return None
