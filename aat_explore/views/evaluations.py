"""Which of a run's evaluations count, so that a smaller, weaker or earlier one never replaces a better one."""

from collections.abc import Iterator, Sequence

import numpy as np

from aat_explore.records import Evaluation
from aat_explore.robustness_tests import WORST_CASE
from aat_explore.views.protocols import Run
from aat_explore.views.recipes import attack_of, evaluation_name, joins_worst_case, stands_alone


def counting(run: Run) -> dict[str, Evaluation]:
    """The tests of a run that count, by name: those on test images at the latest epoch tested.

    Evaluations of one name, with the same attack and images, are merged: for each ε the newest counts. The worst case
    of several attacks on the same images is a separate test.
    """
    on_test = [evaluation for evaluation in run.evaluations() if evaluation.split == "test"]  # oldest first
    latest = max((evaluation.epoch for evaluation in on_test), default=0)
    newest = [evaluation for evaluation in on_test if evaluation.epoch == latest]
    return _merged([*newest, *_worst_cases(run, newest)])


def headline(run: Run, epsilon: float) -> tuple[float | None, float | None, str | None]:
    """Clean accuracy, robust accuracy at `epsilon` and the name of its test; None if not measured.

    Each is taken from the tests on most images. Of several attacks the strongest counts; a weak one never counts alone.
    """
    clean: list[tuple[int, float]] = []
    robust: list[tuple[int, float, str]] = []
    for name, test in counting(run).items():
        if (accuracy := accuracy_at(test, 0.0)) is not None:
            clean.append((test.num_images, accuracy))
        if (accuracy := accuracy_at(test, epsilon)) is not None and stands_alone(test):
            robust.append((-test.num_images, accuracy, name))
    _, least, hardest = min(robust) if robust else (0, None, None)
    return max(clean)[1] if clean else None, least, hardest


def accuracy_at(evaluation: Evaluation, epsilon: float) -> float | None:
    """Accuracy at a tested ε; None for others, without interpolation."""
    for tested, accuracy in zip(evaluation.epsilons, evaluation.accuracies, strict=True):
        if np.isclose(tested, epsilon, rtol=0, atol=1e-6):
            return accuracy
    return None


def _merged(evaluations: Sequence[Evaluation]) -> dict[str, Evaluation]:
    merged: dict[str, Evaluation] = {}
    for newer in evaluations:
        name = evaluation_name(newer)
        both = [merged[name], newer] if name in merged else [newer]
        counts = {round(e, 6): (e, c) for each in both for e, c in zip(each.epsilons, each.num_correct, strict=True)}
        ascending = sorted(counts.values())
        fields = {"epsilons": tuple(e for e, _ in ascending), "num_correct": tuple(c for _, c in ascending)}
        merged[name] = newer.model_copy(update=fields)
    return merged


def _worst_cases(run: Run, evaluations: Sequence[Evaluation]) -> Iterator[Evaluation]:
    """For each number of images on which several attacks were tried: the images that resist all of them.

    The minimum of their accuracies would be higher, because one attack fools images that another does not. Weak attacks
    are left out, and at least one must be able to stand alone. The ε are those at which all were tried.
    """
    for images in sorted({evaluation.num_images for evaluation in evaluations}):
        tried = {
            attack_of(evaluation): evaluation
            for evaluation in evaluations
            if evaluation.num_images == images and evaluation.verdicts is not None and joins_worst_case(evaluation)
        }
        proven = len(tried) > 1 and any(map(stands_alone, tried.values()))
        common = (
            sorted(set.intersection(*(set(evaluation.epsilons) for evaluation in tried.values()))) if proven else []
        )
        if not common:
            continue
        survives = np.ones((len(common), images), dtype=bool)
        for evaluation in tried.values():
            correct = run.verdicts(evaluation)
            assert correct is not None
            survives &= correct[-1, [evaluation.epsilons.index(epsilon) for epsilon in common]]
        yield evaluation.model_copy(
            update={
                "attack": {"kind": WORST_CASE, "of": " and ".join(sorted(tried))},
                "epsilons": tuple(common),
                "num_correct": tuple(int(count) for count in survives.sum(axis=1)),
                "attacks": tuple(sorted(tried)),
                "verdicts": None,
            }
        )
