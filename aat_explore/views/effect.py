"""What perturbing buys in a few runs that differ in n alone: the demo's closing table and sentence."""

from collections.abc import Mapping, Sequence
from typing import Any

from aat_explore.views.protocols import Run
from aat_explore.views.summary import summary


def rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The summaries of the runs by rising n, `all` last."""
    by_n = sorted(runs, key=lambda run: (run.config.num_perturbed == "all", run.config.num_perturbed))
    return [summary(run) for run in by_n]


def sentence(rows: Sequence[Mapping[str, Any]], num_train: int, *, shown: int) -> str:
    """Say in points what n = `shown` and n = all change against n = 0; accuracies in [0, 1], all measured.

    `rows` are those of `rows`; they hold n = 0, `shown` and all.
    """
    by_n = {row["n"]: row for row in rows}
    standard = by_n["0"]

    def change(n: str, name: str) -> str:
        return f"{100 * (by_n[n][name] - standard[name]):+.1f}".replace("-", "−")

    robust, clean = "robust accuracy", "clean accuracy"
    return (
        f"Against standard training, perturbing {shown:,} of {num_train:,} images per epoch, picked by gradient norm, "
        f"changes robust accuracy by {change(str(shown), robust)} points and clean accuracy by "
        f"{change(str(shown), clean)}; perturbing all of them changes it by {change('all', robust)} and "
        f"{change('all', clean)}."
    )
