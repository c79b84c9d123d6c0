"""Which of a run's evaluations count, so that a narrower, weaker or earlier one never replaces a better one."""

from collections.abc import Iterator, Sequence

import numpy as np

from aat_explore.records import Evaluation
from aat_explore.robustness_tests import WORST_CASE
from aat_explore.views.protocols import Run
from aat_explore.views.recipes import attack_of, evaluation_name, joins_worst_case, stands_alone


def counting(run: Run) -> dict[str, Evaluation]:
    """The tests of a run that count, by name: those of the latest epoch tested on test images.

    Evaluations of one name, which are of the same attack and images, are merged: for each ε the newest counts. Where
    several attacks were tried on the same images, their worst case is a test of its own.
    """
    found = [evaluation for evaluation in run.evaluations() if evaluation.split == "test"]  # oldest first
    latest = max((evaluation.epoch for evaluation in found), default=0)
    mine = [evaluation for evaluation in found if evaluation.epoch == latest]
    return _merged([*mine, *_worst_cases(run, mine)])


def headline(run: Run, epsilon: float) -> tuple[float | None, float | None, str | None]:
    """Clean accuracy, robust accuracy at `epsilon` and the test it is of; None where not measured.

    Each by the tests on most images; of several attacks the one that leaves least counts, but never a weak one alone.
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
    """Accuracy at a budget that was tested; None rather than a guess between two that were."""
    for tested, accuracy in zip(evaluation.epsilons, evaluation.accuracies, strict=True):
        if np.isclose(tested, epsilon, rtol=0, atol=1e-6):
            return accuracy
    return None


def _merged(evaluations: Sequence[Evaluation]) -> dict[str, Evaluation]:
    merged: dict[str, Evaluation] = {}
    for newer in evaluations:
        name = evaluation_name(newer)
        both = [merged[name], newer] if name in merged else [newer]
        counts = {round(e, 6): (e, c) for one in both for e, c in zip(one.epsilons, one.num_correct, strict=True)}
        ascending = sorted(counts.values())
        fields = {"epsilons": tuple(e for e, _ in ascending), "num_correct": tuple(c for _, c in ascending)}
        merged[name] = newer.model_copy(update=fields)
    return merged


def _worst_cases(run: Run, evaluations: Sequence[Evaluation]) -> Iterator[Evaluation]:
    """For each number of images that several attacks were tried on: what all of them leave, image by image.

    The least of their accuracies would be higher: one attack fools images that another does not. Weak attacks
    add nothing, and stay out; one that can stand alone must be among them. The ε are those that all were tried at.
    """
    for images in sorted({one.num_images for one in evaluations}):
        tried = {
            attack_of(one): one
            for one in evaluations
            if one.num_images == images and one.verdicts is not None and joins_worst_case(one)
        }
        proven = len(tried) > 1 and any(stands_alone(one) for one in tried.values())
        common = sorted(set.intersection(*(set(one.epsilons) for one in tried.values()))) if proven else []
        if not common:
            continue
        survives = np.ones((len(common), images), dtype=bool)
        for one in tried.values():
            correct = run.verdicts(one)
            assert correct is not None
            survives &= correct[-1, [one.epsilons.index(epsilon) for epsilon in common]]
        yield one.model_copy(
            update={
                "attack": {"kind": WORST_CASE, "of": " and ".join(sorted(tried))},
                "epsilons": tuple(common),
                "num_correct": tuple(int(count) for count in survives.sum(axis=1)),
                "attacks": tuple(sorted(tried)),
                "verdicts": None,
            }
        )
