"""Many runs of one data set and recipe: clean and robust accuracy together, with 95% intervals, for people to read."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import log10, sqrt

import numpy as np
import pandas as pd

from aat_explore.config import RunConfig
from aat_explore.views import names
from aat_explore.views.frames.claims import t_quantile
from aat_explore.views.frames.figures import BASELINES, datasets, of_recipe, recipes, tested_with, tests
from aat_explore.views.protocols import Run
from aat_explore.views.recipes import Recipe, recipe

CLEAN, ROBUST = "clean", "robust"
UNSAMPLED = "n = 0 and all"  # in place of a norm: runs that sample nothing
ENOUGH_SEEDS = 3  # from which on an interval is over seeds; with fewer it is over the choice of test images
BEFORE = 0.6  # distance of 0 from the least n on the axis, in powers of ten
GAP = 0.35  # least distance of two values of n on the axis, in powers of ten


# --- What to show ----------------------------------------------------------------------------------------------------


def usual(frame: pd.DataFrame, newest: str | None = None) -> tuple[str, Recipe, str]:
    """Data set, recipe and test to show first in an `evaluated` frame: those of the run `newest`, else of most runs.

    Tests that can stand alone come before others, then those of most runs, then on most images. The frame has rows.
    """
    each = frame.drop_duplicates(["run", "test"])
    best, choice = None, None
    for dataset in datasets(each):
        for chosen in recipes(each, dataset):
            covered = each[(each["dataset"] == dataset) & each["recipe"].map(chosen.covers)]
            for test, part in covered.groupby("test", sort=True):
                ids = set(part["run"])
                rank = (newest in ids, bool(part["strong"].all()), len(ids), int(part["images"].max()))
                if best is None or rank > best:
                    best, choice = rank, (dataset, chosen, str(test))
    assert choice is not None
    return choice


def covered(frame: pd.DataFrame, dataset: str, chosen: Recipe) -> pd.DataFrame:
    """The rows of an `evaluated` frame that belong to one data set and recipe, baselines included."""
    rows: pd.DataFrame = frame[(frame["dataset"] == dataset) & frame["recipe"].map(chosen.covers)]
    return rows


def ordered_tests(frame: pd.DataFrame, first: str) -> list[str]:
    """`figures.tests` with `first` on top."""
    return [first, *(test for test in tests(frame) if test != first)]


def settings_names(configs: Sequence[RunConfig], offered: Sequence[Recipe]) -> dict[str, str]:
    """Recipe as text → its name for people; a recipe that no run has itself keeps its text."""
    named = {str(recipe(config)): names.settings_name(config) for config in configs}
    return {str(chosen): named.get(str(chosen), str(chosen)) for chosen in offered}


def tested_epsilons(frame: pd.DataFrame) -> list[float]:
    """The ε > 0 of an `evaluated` frame, ascending; those closer than 1e-6 are one."""
    values = sorted(value for value in frame["epsilon"].unique() if value > 0)
    return [value for at, value in enumerate(values) if at == 0 or value - values[at - 1] > 1e-6]


def training_epsilon(frame: pd.DataFrame) -> float:
    """The ε that most runs with n > 0 trained with; that of n = 0, where it means nothing, if there are no others."""
    attacked = frame[frame["n"] != "0"]
    return float((attacked if len(attacked) else frame)["training_epsilon"].mode().iloc[0])


# --- Accuracies ------------------------------------------------------------------------------------------------------


def accuracies(
    frame: pd.DataFrame, dataset: str, chosen: Recipe, test: str, epsilon: float, runs: Mapping[str, RunConfig]
) -> pd.DataFrame:
    """Clean accuracy, and robust accuracy at `epsilon`, of every run: a row per run, measure and norm.

    The columns of `figures.evaluated`, `measure` (clean or robust), `norm`, `place` on the axis of n (`places`),
    `name` of the run among `runs`, `fails` and `tested` in words. Baselines, which sample nothing, are in every norm.
    """
    rows = of_recipe(tested_with(frame, test), dataset, chosen)
    parts = [
        rows[(rows["epsilon"] - wanted).abs() < 1e-6].assign(measure=measure)
        for measure, wanted in ((CLEAN, 0.0), (ROBUST, epsilon))
    ]
    together = pd.concat(parts, ignore_index=True)
    return _worded(together, runs).assign(norm=together["panel"], place=together["n"].map(places(together)))


def over_epsilon(
    frame: pd.DataFrame, dataset: str, chosen: Recipe, test: str, runs: Mapping[str, RunConfig]
) -> pd.DataFrame:
    """Accuracy of every run at every ε tested: like `accuracies`, without `measure` and `place`."""
    rows = of_recipe(tested_with(frame, test), dataset, chosen)
    return _worded(rows, runs).assign(norm=rows["panel"])


def trained_by_pgd(
    frame: pd.DataFrame, dataset: str, test: str, runs: Mapping[str, RunConfig], settings: Mapping[str, str]
) -> pd.DataFrame:
    """`over_epsilon` of the runs of any recipe trained with PGD on all samples; `settings` names the recipe."""
    rows = tested_with(frame, test)
    rows = rows[(rows["dataset"] == dataset) & (rows["n"] == "all") & (rows["attack"] == "pgd")].reset_index(drop=True)
    rows = rows.assign(recipe=rows["recipe"].map(str))
    return _worded(rows, runs).assign(settings=[settings.get(each, each) for each in rows["recipe"]])


def _worded(frame: pd.DataFrame, runs: Mapping[str, RunConfig]) -> pd.DataFrame:
    named = names.names({run_id: runs[run_id] for run_id in frame["run"].unique()})
    early = frame["epoch"] < frame["epochs"]
    at = frame["epoch"].astype(str) + " of " + frame["epochs"].astype(str)
    return frame.assign(
        name=frame["run"].map(named),
        fails=frame["failed"].replace("", "no check"),
        tested="epoch " + at + np.where(early, " (before the end)", ""),
        accurate=frame["accuracy"].map(percent),
        interval=[interval(*ends) for ends in zip(frame["least"], frame["most"], strict=True)],
    )


def places(frame: pd.DataFrame) -> dict[str, float]:
    """n → its place on an axis: log10 n, with 0 before the least n and at least `GAP` between two."""
    position = dict(sorted(zip(frame["n"], frame["position"], strict=True), key=lambda pair: pair[1]))
    above = [count for count in position.values() if count > 0]
    least = log10(min(above)) if above else 1.0
    wanted = {n: log10(count) if count > 0 else least - BEFORE for n, count in position.items()}
    found = dict(wanted)
    for before, after in pairwise(wanted):
        found[after] = max(found[before] + GAP, found[before] + wanted[after] - wanted[before])
    return {n: round(place, 4) for n, place in found.items()}


def with_intervals(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Mean accuracy by these columns, `low` to `high` (95%), `seeds` and all of it in words (`summary`).

    Runs of one seed count as one: their mean. From three seeds on the interval is Student's t over seeds; with fewer it
    covers only the choice of test images (`least` to `most`), and is too narrow.
    """
    each = frame.groupby([*by, "seed"], sort=True)[["accuracy", "least", "most"]].mean().reset_index()
    rows = []
    for key, part in each.groupby(list(by), sort=True):
        mean, seeds = float(part["accuracy"].mean()), len(part)
        low, high = float(part["least"].mean()), float(part["most"].mean())
        if seeds >= ENOUGH_SEEDS:
            half = t_quantile(seeds - 1) * float(part["accuracy"].std()) / sqrt(seeds)
            low, high = max(0.0, mean - half), min(1.0, mean + half)
        over = f"{seeds} seeds" if seeds >= ENOUGH_SEEDS else "of the test images"
        rows.append((*key, mean, low, high, seeds, f"{percent(mean)} ({interval(low, high)}, {over})"))
    return pd.DataFrame(rows, columns=[*by, "mean", "low", "high", "seeds", "summary"])


def with_means(frame: pd.DataFrame, means: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """`accuracies` or `over_epsilon` with the `summary` of their mean; baselines once, under `UNSAMPLED`."""
    joined = frame.merge(means[[*by, "summary"]], on=list(by))
    joined.loc[joined["n"].isin(BASELINES), "norm"] = UNSAMPLED
    keys = [name for name in ("run", "measure", "epsilon", "norm") if name in joined]
    return joined.drop_duplicates(keys, ignore_index=True)


def in_time(frame: pd.DataFrame, machine: str) -> pd.DataFrame:
    """`with_intervals` of `accuracies` of one machine by measure, norm and n, with mean training `seconds`."""
    of_machine = frame[frame["machine"] == machine]
    by = ["measure", "norm", "position", "n"]
    seconds = of_machine.groupby(by)["seconds"].mean().reset_index()
    return with_intervals(of_machine, by).merge(seconds, on=by)


def machines(frame: pd.DataFrame) -> list[str]:
    """The machines of `accuracies`, those of most runs first."""
    counts = frame.groupby("machine")["run"].nunique().sort_values(ascending=False, kind="stable")
    return [str(machine) for machine in counts.index]


# --- In words --------------------------------------------------------------------------------------------------------


def percent(share: float) -> str:
    """A share as a percentage with one digit: `83.8%`."""
    return f"{100 * share:.1f}%"


def interval(low: float, high: float) -> str:
    """The ends of an interval of shares: `82.1 to 84.9%`."""
    return f"{100 * low:.1f} to {100 * high:.1f}%"


def statement(means: pd.DataFrame, norm: str | None = None, n: str | None = None) -> list[str]:
    """What picking buys, a text each: the mean accuracies of one norm and n, of n = 0 and of n = all.

    `means`: `with_intervals` of `accuracies` by measure, norm, n. Without `norm` and `n`: the most robust that samples.
    """
    table = means.pivot_table(index=["norm", "n"], columns="measure", values="mean").sort_index()
    sampled = table[~table.index.get_level_values("n").isin(BASELINES)]
    wanted = list(sampled.index)
    if (norm, n) in wanted:
        at = wanted.index((norm, n))
    elif wanted:
        at = int(sampled[ROBUST if ROBUST in sampled else CLEAN].to_numpy().argmax())
    parts = []
    if wanted:
        by, count = wanted[at]
        parts.append(f"n = {int(count):,} picked by {by}: {_accuracies(sampled.iloc[at])}")
    for baseline, words in (("0", "standard training"), ("all", "all perturbed")):
        rows = table[table.index.get_level_values("n") == baseline]
        if len(rows):
            parts.append(f"{words}: {_accuracies(rows.iloc[0], named=not parts)}")
    return parts


def _accuracies(row: pd.Series, *, named: bool = True) -> str:
    """Clean and robust accuracy, named; or as `89.6% / 0.0%` after others that are."""
    there = [measure for measure in (CLEAN, ROBUST) if pd.notna(row.get(measure))]
    if not named:
        return " / ".join(percent(row[measure]) for measure in there)
    return ", ".join(f"{percent(row[measure])} {measure}" for measure in there)


def at_epsilon(means: pd.DataFrame, epsilon: float) -> list[str]:
    """The means of `over_epsilon` at one ε, a text for each n: `n 10,000: Norm 65.4%, Uniform 63.8%`."""
    here = means[(means["epsilon"] - epsilon).abs() < 1e-6]
    texts = []
    for n in order_of_n(here["n"]):
        part = here[here["n"] == n]
        numbers = [f"{norm} {percent(mean)}" for norm, mean in zip(part["norm"], part["mean"], strict=True)]
        texts.append(
            f"{n_in_words(n)}: {', '.join(numbers if n not in BASELINES else [percent(part['mean'].iloc[0])])}"
        )
    return texts


def order_of_n(counts: Iterable[str]) -> list[str]:
    """Values of n in ascending order, `all` last."""
    return sorted(set(counts), key=lambda n: float("inf") if n == "all" else float(n))


def n_in_words(n: str) -> str:
    """`n 10,000` or `n all`."""
    return f"n {n}" if n == "all" else f"n {int(n):,}"


def flagged(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs of `accuracies` or `over_epsilon` that fail checks or were tested before their last epoch, by name."""
    each = frame.drop_duplicates("run")
    each = each.assign(early=each["epoch"] < each["epochs"])
    marked = each[(each["failed"] != "") | each["early"]]
    return marked[["name", "failed", "tested", "early", "run"]].sort_values("name", ignore_index=True)


def configs_of(runs: Sequence[Run]) -> dict[str, RunConfig]:
    """Run id → settings."""
    return {run.id: run.config for run in runs}
