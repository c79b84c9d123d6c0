"""Results of runs: one row per run, and one run's metrics over its epochs."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from aat_explore.views.protocols import Run
from aat_explore.views.recipes import evaluation_name
from aat_explore.views.summary import summary


class Kind(NamedTuple):
    """What the measures of one chart have in common: the axis's title, and their unit, which is `share` or its name."""

    title: str
    unit: str


SHARE = "share"  # of images, drawn in per cent from 0 to 100
KINDS = {"loss": Kind("training loss", "nats"), "accuracy": Kind("validation accuracy", SHARE)}


class Measure(NamedTuple):
    """A column of the metrics that curves show: a key of `KINDS`, and its name in the legend."""

    kind: str
    name: str


MEASURES = {
    "loss": Measure("loss", "all"),
    "loss_drawn": Measure("loss", "perturbed"),
    "loss_rest": Measure("loss", "unperturbed"),
    "clean_accuracy_val": Measure("accuracy", "clean"),
    "fgsm_accuracy_val": Measure("accuracy", "robust (FGSM)"),
    "robust_accuracy_val": Measure("accuracy", "robust (PGD)"),
}


def runs_table(runs: Sequence[Run], training: Collection[str] = ()) -> pd.DataFrame:
    """One row per run; `training` holds the ids of runs that are being trained."""
    return pd.DataFrame([summary(run, run.id in training) for run in runs])


def values(table: pd.DataFrame, column: str) -> list[str]:
    """The distinct values of a column of `runs_table`, as text; an empty cell reads `none`."""
    return sorted(_as_text(table[column]).unique())


def extent(table: pd.DataFrame, column: str) -> tuple[float, float] | None:
    """The smallest and the largest number in a column of `runs_table`; None unless they differ."""
    low, high = table[column].min(), table[column].max()
    return (float(low), float(high)) if low < high else None


def filtered(
    table: pd.DataFrame, texts: Mapping[str, Collection[str]], ranges: Mapping[str, tuple[float, float]]
) -> pd.DataFrame:
    """Rows of `runs_table` with one of these texts (empty: any) and a number in this range, ends included.

    A missing number passes only if the range covers the whole column.
    """
    keep = pd.Series(True, index=table.index)
    for column, wanted in texts.items():
        if wanted:
            keep &= _as_text(table[column]).isin(wanted)
    for column, (low, high) in ranges.items():
        whole = low <= table[column].min() and table[column].max() <= high
        keep &= table[column].between(low, high) | (table[column].isna() & whole)
    return table[keep].reset_index(drop=True)


def _as_text(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), "").astype(str).replace("", "none")


def progress(runs: Sequence[Run], recent: int = 10) -> pd.DataFrame:
    """Runs in training: run, epochs, share done, loss and validation accuracies per epoch (lists), minutes left.

    Minutes left: the remaining epochs at the median time of the last `recent`, including validation and recording.
    """
    rows = []
    for run in runs:
        metrics = run.metrics()
        seconds = metrics.filter(like="seconds_").sum(axis=1).tail(recent).median()
        rows.append(
            {
                "run": run.id,
                "epochs": f"{run.epoch}/{run.config.epochs}",
                "done": run.epoch / run.config.epochs,
                "training loss": metrics["loss"].tolist(),
                "clean accuracy": metrics["clean_accuracy_val"].tolist(),
                "robust accuracy (PGD)": metrics["robust_accuracy_val"].tolist(),
                "minutes left": (run.config.epochs - run.epoch) * seconds / 60,
            }
        )
    return pd.DataFrame(rows)


def epoch_metrics(run: Run) -> pd.DataFrame:
    """The curves of `MEASURES`, such as losses and validation accuracies: epoch, kind (of `KINDS`), measure, value."""
    long = run.metrics().melt("epoch", list(MEASURES), "column", "value").dropna(subset="value")
    long["kind"] = long["column"].map({column: measure.kind for column, measure in MEASURES.items()})
    long["measure"] = long["column"].map({column: measure.name for column, measure in MEASURES.items()})
    return long[["epoch", "kind", "measure", "value"]].reset_index(drop=True)


def robustness_over_epochs(run: Run) -> pd.DataFrame:
    """Test accuracies of all evaluated epochs: epoch, test, epsilon (0 and the training ε), accuracy, least, most.

    Only tests made at two or more epochs; `least` to `most` is the 95% interval of `Evaluation.intervals`.
    """
    rows = [
        (evaluation.epoch, evaluation_name(evaluation), epsilon, accuracy, *interval)
        for evaluation in run.evaluations()
        if evaluation.split == "test"
        for epsilon, accuracy, interval in zip(
            evaluation.epsilons, evaluation.accuracies, evaluation.intervals, strict=True
        )
        if epsilon == 0 or abs(epsilon - run.config.epsilon) < 1e-6
    ]
    frame = pd.DataFrame(rows, columns=["epoch", "test", "epsilon", "accuracy", "least", "most"])
    newest = frame.drop_duplicates(["epoch", "test", "epsilon"], keep="last")
    several = newest.groupby("test")["epoch"].transform("nunique") > 1
    return newest[several].sort_values(["test", "epsilon", "epoch"], ignore_index=True)


def last_losses(run: Run) -> dict[str, float]:
    """Training loss of the last epoch in nats over all, perturbed and unperturbed samples, if there are any."""
    last = run.metrics().iloc[-1]
    losses = {measure.name: last[column] for column, measure in MEASURES.items() if measure.kind == "loss"}
    return {name: float(loss) for name, loss in losses.items() if pd.notna(loss)}
