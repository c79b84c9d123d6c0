"""Is a run's robustness real? Checks from all of its records: `aat check`, its epochs, its evaluations.

Records and flags name a check by the trouble that it looks for; lists of checks name it by the good state, so that a
pass reads as one. `docs/checks.md` explains each check, one section per good state.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aat_explore.budgets import epsilon_text
from aat_explore.records import NOTABLE, SERIOUS, Check, CheckReport, Evaluation, Status, by_accuracy, by_excess
from aat_explore.views.guide import DOCS
from aat_explore.views.protocols import Run

if TYPE_CHECKING:
    import pandas as pd

LEARNT = 0.5  # clean validation accuracy from which on a run in training is judged
NEVER = 0.05  # validation PGD accuracy below which no fall is told: there was nothing to lose
FALL = 0.2  # of validation PGD accuracy from one epoch to the next
RANK = {"not run": -1, "pass": 0, "warn": 1, "fail": 2}
GOOD_STATES = {  # by the trouble; in the order in which they are listed
    "clean accuracy collapsed": "clean accuracy held",
    "label leaking": "no label leaking",
    "catastrophic overfitting": "no catastrophic overfitting",
    "robust overfitting": "no robust overfitting",
    "zero gradients": "no zero gradients",
    "PGD weaker than FGSM": "PGD as strong as FGSM",
    "noise as strong as FGSM": "noise weaker than FGSM",
    "accuracy not falling with ε": "accuracy falls with ε",
    "accuracy above chance at large ε": "no more than chance at large ε",
    "more steps or restarts find more": "more steps and restarts find no more",
    "another loss finds more": "another loss finds no more",
    "transfer finds more": "transfer finds no more",
    "Square finds more": "Square finds no more",
    "AutoAttack finds more": "AutoAttack finds no more",
}
ON_VALIDATION, BY_EVALUATION = "validation, each epoch", "evaluations"  # keys of `of_run`
COUNTED = ("fooled", "missed")  # how the names of figures begin that are numbers of images
NO_REPORT = "Made by aat check, which has not been run on the last epoch."
NO_AUTOATTACK = "There is no evaluation by AutoAttack beside one by PGD."

Columns = Mapping[str, Any]  # metrics, one value per epoch each; a frame works too


def of_metrics(metrics: "Columns | pd.DataFrame", *, complete: bool) -> list[Check]:
    """Checks of the validation accuracies of all epochs; a run that has not yet learnt is not checked for collapse."""
    learnt = complete or bool(_column(metrics, "clean_accuracy_val").max() >= LEARNT)
    return [*([_collapsed(metrics)] if learnt else []), _label_leaking(metrics), _overfitting(metrics)]


def of_evaluations(run: Run) -> list[Check]:
    """AutoAttack against PGD on the same images; empty unless both are recorded."""
    on_test = [evaluation for evaluation in run.evaluations() if evaluation.split == "test"]
    latest = max((evaluation.epoch for evaluation in on_test), default=0)
    comparisons = [
        _beyond_pgd(run, pgd, strong)
        for strong in on_test
        for pgd in on_test
        if strong.attack["kind"] == "autoattack" and pgd.attack["kind"] == "pgd" and strong.epoch == pgd.epoch == latest
    ]
    worst_first = sorted(filter(None, comparisons), key=lambda check: check.figures["PGD accuracy"])
    return worst_first[:1]  # against the strongest PGD on record


def reported(run: Run) -> CheckReport | None:
    """The report of `aat check` on the run's last epoch at its training ε, on most images; None if there is none."""
    current = [
        report
        for report in run.checks()
        if report.epoch == run.epoch and abs(report.epsilon - run.config.epsilon) < 1e-6
    ]
    return max(current, key=lambda report: (report.num_images, report.created), default=None)


def of_report(report: CheckReport) -> dict[str, list[Check]]:
    """The checks of one report, by the images they were made on."""
    return {f"{report.num_images:,} test images": list(report.checks)}


def of_run(run: Run) -> dict[str, list[Check]]:
    """All recorded checks of a run's last epoch, by the images they were made on."""
    report = reported(run)
    tested = {} if report is None else of_report(report)
    by_epoch = {ON_VALIDATION: of_metrics(_by_column(run), complete=run.complete)}
    beyond = of_evaluations(run)
    return tested | by_epoch | ({BY_EVALUATION: beyond} if beyond else {})


def flags(run: Run) -> list[str]:
    """Names of the checks that a run fails, each once."""
    failed = [check.name for checks in of_run(run).values() for check in checks if check.status == "fail"]
    return list(dict.fromkeys(failed))


def good_state(trouble: str) -> str:
    """The name of a check in lists: the state in which it passes; an unknown name stays as it is."""
    return GOOD_STATES.get(trouble, trouble)


def verdict(check: Check) -> str:
    """`pass`, `warn` or `fail`; `not run` if the check could not be made, which is recorded as a warning."""
    return "not run" if check.status == "warn" and not check.figures else check.status


def table(checks: Mapping[str, Sequence[Check]]) -> "pd.DataFrame":
    """Checks by what they were made on, as a table, failures first: verdict, check (its good state), numbers, on."""
    import pandas as pd  # imported late, because `aat list` uses this module without pandas

    rows = [
        {"verdict": verdict(check), "check": good_state(check.name), "numbers": check.reason, "on": where}
        for where, group in checks.items()
        for check in group
    ]
    frame = pd.DataFrame(rows, columns=["verdict", "check", "numbers", "on"])
    worst_first = frame["verdict"].map(RANK).sort_values(ascending=False, kind="stable").index
    return frame.loc[worst_first].reset_index(drop=True)


def table_of(run: Run) -> "pd.DataFrame":
    """Every check once, whether recorded for the run's last epoch or not run: `table`, with `figures` and `group`.

    `figures`: the numbers alone, as short text. `group`: `test images`, `validation images` or `not run`; a check
    made on both is with the test images, has the numbers of both and the worse verdict. Failures come first.
    """
    import pandas as pd

    made: dict[str, list[tuple[str, Check]]] = {}
    for where, group in of_run(run).items():
        for check in group:
            made.setdefault(check.name, []).append((where, check))
    rows = [_row(trouble, made.get(trouble, [])) for trouble in dict.fromkeys([*GOOD_STATES, *made])]
    frame = pd.DataFrame(rows)
    order = frame["verdict"].map(RANK).sort_values(ascending=False, kind="stable").index
    return frame.loc[order].reset_index(drop=True)


def _row(trouble: str, made: Sequence[tuple[str, Check]]) -> dict[str, str]:
    places = [where for where, _ in made]
    numbers = [check.reason for _, check in made]
    worse = max((verdict(check) for _, check in made), key=RANK.__getitem__, default="not run")
    on_test = any(where != ON_VALIDATION for where in places)
    if not made:
        numbers = [NO_AUTOATTACK if trouble == "AutoAttack finds more" else NO_REPORT]
    elif len(made) > 1:
        numbers = [numbers[0], *(f"On {where}: {check.reason}" for where, check in made[1:])]
    return {
        "verdict": worse,
        "check": good_state(trouble),
        "numbers": " ".join(numbers),
        "on": " and ".join([*places[:1], *(where.split(",")[0] for where in places[1:])]),
        "figures": "; validation: ".join(_figures(check) for _, check in made),
        "group": worse if worse == "not run" else "test images" if on_test else "validation images",
    }


def _figures(check: Check) -> str:
    return " · ".join(
        f"{name.replace('ε = ', 'at ε ')}{':' if '=' in name else ''} {_figure(name, value)}"
        for name, value in check.figures.items()
    )


def _figure(name: str, value: float) -> str:
    """A number of a check as text: ε as it is, counts of images as such, all others as percentages."""
    if name == "ε":
        return f"{value:g}"
    return f"{value:,.0f}" if name.startswith(COUNTED) else f"{value:.1%}"


def worst(checks: Sequence[Check]) -> Status:
    """The worst status among checks; pass if there are none."""
    return max((check.status for check in checks), key=RANK.__getitem__, default="pass")


@cache
def explanations() -> dict[str, str]:
    """The explanation of each check in Markdown, by its good state: what it looks for, why, and its thresholds."""
    parts = re.split(r"^## (.+)$", (DOCS / "checks.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name.strip(): text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def link(name: str) -> str:
    """The file and heading in the package that explain a check, by its trouble or its good state."""
    heading = good_state(name).lower().replace(" ", "-")
    return f"aat_explore/docs/checks.md#{re.sub(r'[^a-zε0-9-]', '', heading)}"


def _by_column(run: Run) -> Columns:
    rows = run.rows()
    return {name: [getattr(row, name) for row in rows] for name in type(rows[0]).model_fields}


def _column(metrics: "Columns | pd.DataFrame", name: str) -> NDArray[np.float64]:
    return np.asarray(metrics[name], dtype=float)


def _collapsed(metrics: "Columns | pd.DataFrame") -> Check:
    accuracies = _column(metrics, "clean_accuracy_val")
    clean, best = float(accuracies[-1]), float(accuracies.max())
    return Check(
        name="clean accuracy collapsed",
        status="fail" if clean < best / 2 else by_accuracy(clean),
        reason=f"Clean accuracy is {clean:.1%} after the last epoch; the best was {best:.1%}.",
        figures={"clean accuracy": clean, "best": best},
    )


def _label_leaking(metrics: "Columns | pd.DataFrame") -> Check:
    after, clean = (float(_column(metrics, name)[-1]) for name in ("fgsm_accuracy_val", "clean_accuracy_attacked"))
    return Check(
        name="label leaking",
        status="fail" if after > clean else "pass",
        reason=f"FGSM accuracy is {after:.1%} and clean accuracy {clean:.1%} on the same images.",
        figures={"FGSM accuracy": after, "clean accuracy": clean},
    )


def _overfitting(metrics: "Columns | pd.DataFrame") -> Check:
    """Wong, Rice, Kolter 2020 ("Fast is better than free"): accuracy under PGD collapses while FGSM's stays.

    The margins are ours. Networks that were not trained on x′ resist neither attack, so they cannot overfit to one.
    """
    pgd = _column(metrics, "robust_accuracy_val")
    falls = np.append(0.0, pgd[:-1] - pgd[1:])
    at = int(falls.argmax())
    fell, lost = float(falls[at]), float(pgd.max() - pgd[-1])
    fgsm = float(_column(metrics, "fgsm_accuracy_val")[-1])
    trained_on = bool(_column(metrics, "num_drawn")[-1] > 0)
    only_fgsm = fgsm - pgd[-1] > 0.15 and pgd[-1] < fgsm / 2
    status: Status = "pass"
    if trained_on and (only_fgsm or (fell > FALL and lost > FALL)):
        status = "fail"
    elif trained_on and fell > FALL:
        status = "warn"
    course = f"PGD accuracy ends at {pgd[-1]:.1%}, FGSM accuracy at {fgsm:.1%}"
    if only_fgsm and trained_on and pgd.max() < NEVER:
        course += f"; it never exceeded {pgd.max():.1%}: the network resists FGSM alone"
    elif fell > 0:
        course += f"; the largest fall of PGD accuracy is {100 * fell:.1f} points, in epoch {at + 1}"
    return Check(
        name="catastrophic overfitting",
        status=status,
        reason=f"{course}.",
        figures={"PGD accuracy": float(pgd[-1]), "FGSM accuracy": fgsm, "largest fall": fell, "lost since best": lost},
    )


def _beyond_pgd(run: Run, pgd: Evaluation, strong: Evaluation) -> Check | None:
    """AutoAttack against PGD on the same images at the largest common ε; None if there is none."""
    by_pgd, by_autoattack = run.verdicts(pgd), run.verdicts(strong)
    common = sorted(set(pgd.epsilons) & set(strong.epsilons) - {0.0})
    if by_pgd is None or by_autoattack is None or not common:
        return None
    count, epsilon = min(pgd.num_images, strong.num_images), common[-1]
    before = float(by_pgd[-1, pgd.epsilons.index(epsilon), :count].mean())
    after = float(by_autoattack[-1, strong.epsilons.index(epsilon), :count].mean())
    return Check(
        name="AutoAttack finds more",
        status=by_excess(before - after, NOTABLE, SERIOUS),
        reason=f"Of {count:,} test images at ε = {epsilon_text(epsilon)} PGD leaves {before:.1%} and AutoAttack "
        f"{after:.1%}.",
        figures={"PGD accuracy": before, "AutoAttack accuracy": after, "ε": epsilon},
    )
