"""Many runs: the test accuracies behind the paper's figures."""

import shlex
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import numpy as np
import pandas as pd

from aat_explore.config import RunConfig
from aat_explore.errors import AATError
from aat_explore.presets import preset_of, train_flags
from aat_explore.views import checks, evaluations
from aat_explore.views.protocols import Run
from aat_explore.views.recipes import TEST_NAMES, WEAK_TESTS, Recipe, norm_name, recipe
from aat_explore.views.summary import COST_PHASES

CLAIMED_POINTS = 0.5  # of clean accuracy, that adaptive training costs against n = 0 at most (the paper's first claim)
CLAIM = [
    *("dataset", "panel", "n", "within", "by", "mean", "sd", "seeds"),
    *("mean of n = 0", "sd of n = 0", "seeds of n = 0"),
]
WEAK_NAMES = tuple(TEST_NAMES[kind] for kind in WEAK_TESTS)
BASELINES = ("0", "all")  # drawn from no p, so of every norm
EVALUATED = [
    *("epsilon", "accuracy", "least", "most", "run", "failed", "dataset", "n", "position", "norm_power", "seed"),
    *("recipe", "attack", "training_epsilon", "test", "images", "epoch", "epochs", "seconds", "machine"),
]


def evaluated(runs: Sequence[Run]) -> pd.DataFrame:
    """Every accuracy of the tests that count, see `evaluations.counting`: one row a run, test and ε.

    `position` places n on a number line (T for all); `test` names attack and images, of which there are `images`;
    `least` to `most` is the 95 % interval of the accuracy, had other images been drawn (Wilson); `failed` names the
    checks that the run fails, '' if none; `epoch` is the one tested; `seconds` were spent to train up to it, without
    validation, on `machine`.
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
                    images=evaluation.num_images,
                    epoch=evaluation.epoch,
                    epochs=config.epochs,
                    seconds=float(trained[list(COST_PHASES)].sum().sum()),
                    machine=_machine(trained),
                )
            )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=EVALUATED)


def _machine(metrics: pd.DataFrame) -> str:
    """Devices and threads that these epochs ran on."""
    each = metrics[["device", "num_threads"]].drop_duplicates().sort_values(["device", "num_threads"])
    return ", then ".join(
        f"{device}, {threads} thread{'s' * (threads != 1)}"
        for device, threads in each.itertuples(index=False, name=None)
    )


def untested(frame: pd.DataFrame, runs: Sequence[Run]) -> list[str]:
    """Ids of the runs that an `evaluated` frame has no row of."""
    found = set(frame["run"])
    return [run.id for run in runs if run.id not in found]


def datasets(frame: pd.DataFrame) -> list[str]:
    """Data sets of an `evaluated` frame, by name."""
    return sorted(frame["dataset"].unique())


def tests(frame: pd.DataFrame) -> list[str]:
    """Tests of an `evaluated` frame, the one of most runs first, of these the one on most images, then the hardest.

    Those that prove nothing alone, `recipes.WEAK_TESTS`, come after all others.
    """
    trained = (frame["epsilon"] - frame["training_epsilon"]).abs() < 1e-6
    left = frame[trained].groupby("test")["accuracy"].mean()
    found = frame.groupby("test").agg(runs=("run", "nunique"), images=("images", "max"))
    order = found.assign(weak=found.index.str.startswith(WEAK_NAMES), left=left).sort_values(
        ["weak", "runs", "images", "left"], ascending=[True, False, False, True], kind="stable"
    )
    return list(order.index)


def strong_tests(frame: pd.DataFrame) -> list[str]:
    """`tests` without those that prove nothing alone."""
    return [test for test in tests(frame) if not test.startswith(WEAK_NAMES)]


def tested_with(frame: pd.DataFrame, test: str) -> pd.DataFrame:
    """The rows of one test; a data set or recipe that was not tested so has none."""
    found: pd.DataFrame = frame[frame["test"] == test]
    return found


def recipes(frame: pd.DataFrame, dataset: str) -> list[Recipe]:
    """Recipes of one data set that are not merely the baseline of another, the one with most runs first."""
    found = frame[frame["dataset"] == dataset].groupby("recipe", sort=False)["run"].nunique()
    whole = [one for one in found.index if not any(other != one and other.covers(one) for other in found.index)]
    return sorted(whole, key=lambda one: (-found[one], str(one)))


def usual_choices(frame: pd.DataFrame) -> tuple[dict[str, Recipe], str]:
    """For each data set the recipe, and the test, that most runs of an `evaluated` frame have: where nobody chooses.

    Raises AATError for a frame without rows.
    """
    if frame.empty:
        raise AATError("runs=0 of these have been evaluated on test images; `aat evaluate RUN` does it")
    return {name: recipes(frame, name)[0] for name in datasets(frame)}, tests(frame)[0]


def of_recipe(frame: pd.DataFrame, dataset: str, chosen: Recipe) -> pd.DataFrame:
    """The rows of one data set that belong to a recipe, with `panel` (norm name) and `panel_power`.

    There is a panel for each norm power of its runs that sample, Norm where none does; baselines stand in every panel.
    """
    mine: pd.DataFrame = frame[(frame["dataset"] == dataset) & frame["recipe"].map(chosen.covers)]
    mine = mine.assign(recipe=str(chosen))
    baseline = mine["n"].isin(BASELINES)
    if (mine["n"] != "0").any():  # n = 0 never used its own ε
        mine = mine.assign(training_epsilon=mine.loc[mine["n"] != "0", "training_epsilon"].iloc[0])
    panels = [
        mine[baseline | (mine["norm_power"] == power)].assign(panel=norm_name(power, chosen.score), panel_power=power)
        for power in _panel_powers(mine)
    ]
    return pd.concat(panels, ignore_index=True)


def _panel_powers(frame: pd.DataFrame) -> list[float]:
    """Norm powers of the runs that sample: Norm, Squared Norm, then others, the uniform control last."""
    powers = frame.loc[~frame["n"].isin(BASELINES), "norm_power"].unique()
    return sorted(powers, key=_uniform_last) or [1.0]


def _uniform_last(power: float) -> float:
    """What panels are sorted by."""
    return power or inf


def robustness(frame: pd.DataFrame, dataset: str, chosen: Recipe, test: str) -> pd.DataFrame:
    """Fig. 1–3: accuracy against ε, one row a run, ε and panel."""
    return of_recipe(tested_with(frame, test), dataset, chosen)


def pgd_on_all(frame: pd.DataFrame, test: str) -> pd.DataFrame:
    """Fig. 5: accuracy against ε of networks trained with PGD on all samples; the panel is the data set."""
    mine = tested_with(frame, test)
    mine = mine[(mine["n"] == "all") & (mine["attack"] == "pgd")]
    shown: pd.DataFrame = mine.assign(panel=mine["dataset"], recipe=mine["recipe"].map(str))
    return shown.reset_index(drop=True)


def accuracy_against_n(
    frame: pd.DataFrame, chosen: Mapping[str, Recipe], test: str, *, robust: bool = False
) -> pd.DataFrame:
    """Fig. 4: clean accuracy (or robust accuracy at the training ε) against n, one row a run and panel.

    Panels are ordered as the paper's rows are: Norm, Squared Norm, then others, the uniform control last.
    """
    frame = tested_with(frame, test)
    mine = pd.concat([of_recipe(frame, dataset, one) for dataset, one in chosen.items()], ignore_index=True)
    mine = mine.sort_values("panel_power", key=lambda powers: powers.map(_uniform_last), kind="stable")
    wanted: Any = mine["training_epsilon"] if robust else 0.0
    tested: pd.DataFrame = mine[(mine["epsilon"] - wanted).abs() < 1e-6]
    return tested.reset_index(drop=True)


def failing(frame: pd.DataFrame) -> dict[str, str]:
    """Runs of an `evaluated` frame that fail checks, and which ones."""
    bad = frame[frame["failed"] != ""].drop_duplicates("run")
    return dict(zip(bad["run"], bad["failed"], strict=True))


def over_seeds(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Mean accuracy, its standard deviation over seeds (missing for one seed), low, high = mean ∓ sd, and seeds.

    Runs of one seed, which differ in no more than bookkeeping, count as one: their mean.
    """
    each = frame.groupby([*by, "seed"], sort=True, dropna=False)["accuracy"].mean().reset_index()
    groups = each.groupby(list(by), sort=True, dropna=False)
    spread = groups.agg(mean=("accuracy", "mean"), sd=("accuracy", "std"), seeds=("seed", "size")).reset_index()
    sd = spread["sd"].fillna(0)
    return spread.assign(low=(spread["mean"] - sd).clip(lower=0), high=(spread["mean"] + sd).clip(upper=1))


def unfinished(frame: pd.DataFrame) -> list[str]:
    """Runs of an `evaluated` frame that were tested before their last epoch, as `run (epoch 3 of 10)`."""
    early = frame[frame["epoch"] < frame["epochs"]].drop_duplicates("run")
    return [f"{row.run} (epoch {row.epoch} of {row.epochs})" for row in early.itertuples()]


# --- What the claims of the paper come to ----------------------------------------------------------------------------


def over_seeds_in_time(frame: pd.DataFrame) -> pd.DataFrame:
    """`over_seeds` by data set, panel, n and machine, with the mean `seconds` of training, `lower` and `upper` ∓ sd."""
    by = ["dataset", "panel", "machine", "position", "n"]
    spread = frame.groupby(by, sort=True)["seconds"].agg(["mean", "std"]).reset_index()
    sd = spread["std"].fillna(0)
    seconds = spread[by].assign(
        seconds=spread["mean"], lower=(spread["mean"] - sd).clip(lower=0), upper=spread["mean"] + sd
    )
    return over_seeds(frame, by).merge(seconds, on=by)


def claim_check(means: pd.DataFrame, points: float = CLAIMED_POINTS) -> pd.DataFrame:
    """Whether clean accuracy stays within so many points of n = 0, for each data set, panel and n > 0.

    `means`: clean `accuracy_against_n` through `over_seeds` by dataset, panel, position, n. `by`: points above n = 0.
    `within` is yes or no by the means; `not known` without n = 0.
    """
    of_zero = ["mean", "sd", "seeds"]
    zero = means.loc[means["n"] == "0", ["dataset", "panel", *of_zero]]
    zero = zero.rename(columns={name: f"{name} of n = 0" for name in of_zero})
    table = means[means["n"] != "0"].merge(zero, on=["dataset", "panel"], how="left")
    by = 100 * (table["mean"] - table["mean of n = 0"])
    within = np.where(by.isna(), "not known", np.where(by.abs() <= points + 1e-9, "yes", "no"))
    return table.assign(by=by, within=within)[CLAIM]


def verdicts(claims: pd.DataFrame) -> str:
    """The verdicts of `claim_check` counted, in words."""
    found = claims["within"].value_counts()
    said = [f"{word} for {found[word]}" for word in ("yes", "no", "not known") if word in found]
    return (
        f"{', '.join(said)} of the {len(claims)} shown; which, and by how much, see below."
        if said
        else "None of n > 0."
    )


def baselines_to_train(frame: pd.DataFrame, runs: Sequence[Run]) -> list[str]:
    """For each data set of an `accuracy_against_n` frame without n = 0, the words of `aat` that train it.

    `runs` are those that the frame is made of; the baseline has the settings of the first of them that it takes.
    """
    lacking = [name for name, part in frame.groupby("dataset") if not (part["n"] == "0").any()]
    by_id = {run.id: run.config for run in runs}
    return [train_words(by_id[frame.loc[frame["dataset"] == name, "run"].iloc[0]], num_perturbed=0) for name in lacking]


def train_words(config: RunConfig, **changes: Any) -> str:
    """Words of `aat` that train a run like `config` but for these `changes`: `train --preset mini --seed 1`."""
    wanted = config.model_copy(update=changes).canonical()
    changed = [word for flag, values in train_flags(wanted) for word in (flag, *values)]
    return shlex.join(["train", "--preset", preset_of(wanted.dataset), *changed])
