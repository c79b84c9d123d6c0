"""Many runs: the test accuracies in the paper's figures."""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import numpy as np
import pandas as pd

from aat_explore.errors import AATError
from aat_explore.records import COST_PHASES
from aat_explore.views import checks, evaluations
from aat_explore.views.protocols import Run
from aat_explore.views.recipes import Recipe, norm_name, recipe, stands_alone

CLAIMED_POINTS = 0.5  # of clean accuracy: the most that adaptive training costs against n = 0 (the paper's first claim)
BASELINES = ("0", "all")  # they sample nothing, so they belong to every norm
EVALUATED = [
    *("epsilon", "accuracy", "least", "most", "run", "failed", "dataset", "n", "position", "norm_power", "seed"),
    *("recipe", "attack", "training_epsilon", "test", "strong", "images", "epoch", "epochs", "seconds", "machine"),
]


def evaluated(runs: Sequence[Run]) -> pd.DataFrame:
    """Every accuracy of the tests that count (see `evaluations.counting`): one row per run, test and ε.

    `position` is n as a number (T for all). `test` names the attack and the images, `images` is their number, `strong`
    says whether the test can stand alone. `least` to `most` is the 95% interval over the choice of test images
    (Wilson). `failed` names the checks that the run fails, '' if none. `epoch` is the tested epoch; training up
    to it took `seconds`, without validation, on `machine`.
    """
    parts = []
    for run in runs:
        config, metrics, failed = run.config, run.metrics(), ", ".join(checks.flags(run))
        position = int(metrics["num_drawn"].max()) if config.num_perturbed == "all" else config.num_perturbed
        for test, evaluation in evaluations.counting(run).items():
            trained = metrics[metrics["epoch"] <= evaluation.epoch]
            least, most = zip(*evaluation.intervals, strict=True)
            part = pd.DataFrame(
                {"epsilon": evaluation.epsilons, "accuracy": evaluation.accuracies, "least": least, "most": most}
            )
            parts.append(
                part.assign(
                    run=run.id,
                    failed=failed,
                    dataset=config.dataset,
                    n=str(config.num_perturbed),
                    position=position,
                    norm_power=config.norm_power,
                    seed=config.seed,
                    recipe=np.array([recipe(config)] * len(part), dtype=object),
                    attack=config.attack.kind,
                    training_epsilon=config.epsilon,
                    test=test,
                    strong=stands_alone(evaluation),
                    images=evaluation.num_images,
                    epoch=evaluation.epoch,
                    epochs=config.epochs,
                    seconds=float(trained[list(COST_PHASES)].sum().sum()),
                    machine=_machine(trained),
                )
            )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=EVALUATED)


def _machine(metrics: pd.DataFrame) -> str:
    """Devices and numbers of threads of these epochs."""
    each = metrics[["device", "num_threads"]].drop_duplicates().sort_values(["device", "num_threads"])
    return ", then ".join(
        f"{device}, {threads} thread{'s' * (threads != 1)}"
        for device, threads in each.itertuples(index=False, name=None)
    )


def untested(frame: pd.DataFrame, runs: Sequence[Run]) -> list[str]:
    """Ids of the runs without a row in an `evaluated` frame."""
    tested = set(frame["run"])
    return [run.id for run in runs if run.id not in tested]


def datasets(frame: pd.DataFrame) -> list[str]:
    """Data sets of an `evaluated` frame, in alphabetical order."""
    return sorted(frame["dataset"].unique())


def tests(frame: pd.DataFrame) -> list[str]:
    """Tests of an `evaluated` frame: those of most runs first, then those on most images, then the hardest.

    Tests that prove nothing alone (see `recipes.stands_alone`) come last.
    """
    trained = (frame["epsilon"] - frame["training_epsilon"]).abs() < 1e-6
    remaining = frame[trained].groupby("test")["accuracy"].mean()
    groups = frame.groupby("test").agg(runs=("run", "nunique"), images=("images", "max"), strong=("strong", "all"))
    order = groups.assign(remaining=remaining).sort_values(
        ["strong", "runs", "images", "remaining"], ascending=[False, False, False, True], kind="stable"
    )
    return list(order.index)


def strong_tests(frame: pd.DataFrame) -> list[str]:
    """`tests` without those that prove nothing alone."""
    strong = set(frame.loc[frame["strong"], "test"])
    return [test for test in tests(frame) if test in strong]


def tested_with(frame: pd.DataFrame, test: str) -> pd.DataFrame:
    """The rows of one test; data sets and recipes without that test have none."""
    rows: pd.DataFrame = frame[frame["test"] == test]
    return rows


def recipes(frame: pd.DataFrame, dataset: str) -> list[Recipe]:
    """Recipes of one data set, most runs first, without those that are only the baseline of another."""
    runs_of = frame[frame["dataset"] == dataset].groupby("recipe", sort=False)["run"].nunique()
    candidates = [
        candidate
        for candidate in runs_of.index
        if not any(other != candidate and other.covers(candidate) for other in runs_of.index)
    ]
    return sorted(candidates, key=lambda candidate: (-runs_of[candidate], str(candidate)))


def usual_choices(frame: pd.DataFrame) -> tuple[dict[str, Recipe], str]:
    """The default choices: the recipe of most runs for each data set, and the first of the `tests`.

    AATError if the `evaluated` frame has no rows.
    """
    if frame.empty:
        raise AATError("runs=0 of these have been evaluated on test images; run `aat evaluate RUN`")
    return {name: recipes(frame, name)[0] for name in datasets(frame)}, tests(frame)[0]


def of_recipe(frame: pd.DataFrame, dataset: str, chosen: Recipe) -> pd.DataFrame:
    """The rows of one data set that belong to a recipe, with `panel` (norm name) and `panel_power`.

    One panel per norm power of the runs that sample; Norm if none does. Baselines are in all panels.
    """
    rows: pd.DataFrame = frame[(frame["dataset"] == dataset) & frame["recipe"].map(chosen.covers)]
    rows = rows.assign(recipe=str(chosen))
    baseline = rows["n"].isin(BASELINES)
    if (rows["n"] != "0").any():  # n = 0 perturbs nothing, so its ε has no effect
        rows = rows.assign(training_epsilon=rows.loc[rows["n"] != "0", "training_epsilon"].iloc[0])
    panels = [
        rows[baseline | (rows["norm_power"] == power)].assign(panel=norm_name(power, chosen.score), panel_power=power)
        for power in _panel_powers(rows)
    ]
    return pd.concat(panels, ignore_index=True)


def _panel_powers(frame: pd.DataFrame) -> list[float]:
    """Norm powers of the runs that sample: Norm, Squared Norm, then others, the uniform control last."""
    powers = frame.loc[~frame["n"].isin(BASELINES), "norm_power"].unique()
    return sorted(powers, key=_uniform_last) or [1.0]


def _uniform_last(power: float) -> float:
    """The key by which panels are sorted."""
    return power or inf


def robustness(frame: pd.DataFrame, dataset: str, chosen: Recipe, test: str) -> pd.DataFrame:
    """Fig. 1–3: accuracy against ε, one row per run, ε and panel."""
    return of_recipe(tested_with(frame, test), dataset, chosen)


def pgd_on_all(frame: pd.DataFrame, test: str) -> pd.DataFrame:
    """Fig. 5: accuracy against ε of networks trained with PGD on all samples; the panel is the data set."""
    rows = tested_with(frame, test)
    rows = rows[(rows["n"] == "all") & (rows["attack"] == "pgd")]
    panels: pd.DataFrame = rows.assign(panel=rows["dataset"], recipe=rows["recipe"].map(str))
    return panels.reset_index(drop=True)


def accuracy_against_n(
    frame: pd.DataFrame, chosen: Mapping[str, Recipe], test: str, *, robust: bool = False
) -> pd.DataFrame:
    """Fig. 4: clean accuracy (or robust accuracy at the training ε) against n, one row per run and panel.

    Panels are in the order of the paper's rows: Norm, Squared Norm, then others, the uniform control last.
    """
    frame = tested_with(frame, test)
    rows = pd.concat(
        [of_recipe(frame, dataset, chosen_recipe) for dataset, chosen_recipe in chosen.items()], ignore_index=True
    )
    rows = rows.sort_values("panel_power", key=lambda powers: powers.map(_uniform_last), kind="stable")
    wanted: Any = rows["training_epsilon"] if robust else 0.0
    at_budget: pd.DataFrame = rows[(rows["epsilon"] - wanted).abs() < 1e-6]
    return at_budget.reset_index(drop=True)


def failing(frame: pd.DataFrame) -> dict[str, str]:
    """Runs of an `evaluated` frame that fail checks → the names of those checks."""
    bad = frame[frame["failed"] != ""].drop_duplicates("run")
    return dict(zip(bad["run"], bad["failed"], strict=True))


def over_seeds(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Mean accuracy, its standard deviation over seeds (missing for one seed), low, high = mean ∓ sd, and seeds.

    Runs of one seed, which differ only in bookkeeping settings, count as one: their mean.
    """
    each = frame.groupby([*by, "seed"], sort=True, dropna=False)["accuracy"].mean().reset_index()
    groups = each.groupby(list(by), sort=True, dropna=False)
    spread = groups.agg(mean=("accuracy", "mean"), sd=("accuracy", "std"), seeds=("seed", "size")).reset_index()
    sd = spread["sd"].fillna(0)
    return spread.assign(low=(spread["mean"] - sd).clip(lower=0), high=(spread["mean"] + sd).clip(upper=1))


def unfinished(frame: pd.DataFrame) -> list[str]:
    """Runs of an `evaluated` frame that were tested before their last epoch, e.g. `run (epoch 3 of 10)`."""
    early = frame[frame["epoch"] < frame["epochs"]].drop_duplicates("run")
    return [f"{row.run} (epoch {row.epoch} of {row.epochs})" for row in early.itertuples()]


# --- Training time -----------------------------------------------------------------------------------


def over_seeds_in_time(frame: pd.DataFrame) -> pd.DataFrame:
    """`over_seeds` by data set, panel, n and machine, with mean training `seconds`; `lower`, `upper` = mean ∓ sd."""
    by = ["dataset", "panel", "machine", "position", "n"]
    spread = frame.groupby(by, sort=True)["seconds"].agg(["mean", "std"]).reset_index()
    sd = spread["std"].fillna(0)
    seconds = spread[by].assign(
        seconds=spread["mean"], lower=(spread["mean"] - sd).clip(lower=0), upper=spread["mean"] + sd
    )
    return over_seeds(frame, by).merge(seconds, on=by)
