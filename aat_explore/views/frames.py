"""Runs → tidy pandas frames: one run, one of its epochs, or many runs for the paper's figures.

Columns are plain words; accuracies and shares are in [0, 1], ε in pixel units, times in seconds, losses in nats.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aat_explore.config import RunConfig
from aat_explore.errors import AATError
from aat_explore.records import Evaluation
from aat_explore.views import diagnostics, evaluations
from aat_explore.views.diagnostics import Array
from aat_explore.views.recipes import Recipe, attack_name, norm_name, recipe

COLLAPSED = (
    0.5  # ours: of ten classes more wrong than right; plain training gets 78 % even on fashion-mini, the smallest
)
COST_PHASES = ("seconds_scoring", "seconds_draw", "seconds_perturb", "seconds_train")
MEASURES = {
    "loss": ("loss", "all"),
    "loss_drawn": ("loss", "perturbed"),
    "loss_rest": ("loss", "unperturbed"),
    "clean_accuracy_val": ("accuracy", "clean"),
    "fgsm_accuracy_val": ("accuracy", "robust (FGSM)"),
    "robust_accuracy_val": ("accuracy", "robust (PGD)"),
}
BASELINES = ("0", "all")  # drawn from no p, so of every norm
Frame: TypeAlias = pd.DataFrame  # for pages, which hand frames on without importing pandas
EVALUATED = [
    *("epsilon", "accuracy", "run", "dataset", "n", "position", "norm_power", "seed", "recipe", "attack"),
    *("training_epsilon", "test", "images", "epoch", "epochs"),
]


class Run(Protocol):
    """What views need of a cached run; see `store.Run` for shapes."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def config(self) -> RunConfig: ...  # noqa: D102
    @property
    def epoch(self) -> int: ...  # noqa: D102
    @property
    def complete(self) -> bool: ...  # noqa: D102
    @property
    def showcase(self) -> bool: ...  # noqa: D102
    def metrics(self) -> pd.DataFrame: ...  # noqa: D102
    def probabilities(self, epoch: int) -> Array | None: ...  # noqa: D102
    def drawn(self, epoch: int) -> Array: ...  # noqa: D102
    def x_adv(self, epoch: int) -> Array: ...  # noqa: D102
    def evaluations(self) -> list[Evaluation]: ...  # noqa: D102


class Split(Protocol):
    """What views need of the training split; see `datasets.Split` for shapes."""

    @property
    def labels(self) -> NDArray[np.uint8]: ...  # noqa: D102
    def images(self, indices: Array) -> NDArray[np.uint8]: ...  # noqa: D102


class Dataset(Protocol):
    """What views need of a data set."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def class_names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def train(self) -> Split: ...  # noqa: D102


# --- One run -------------------------------------------------------------------------------------------------------


def summary(run: Run, training: bool = False) -> dict[str, Any]:
    """One row of `runs_table`; raises if the run's metrics or evaluations are damaged."""
    config, metrics = run.config, run.metrics()
    clean, robust, tested_with = evaluations.headline(run.evaluations(), config.epsilon)
    return {
        "run": run.id,
        "n": str(config.num_perturbed),
        "norm power": f"{config.norm_power:g}" if config.samples else "",
        "clean accuracy": clean,
        "robust accuracy": robust,
        "flag": ", ".join(flags(metrics, complete=run.complete)),
        "tested with": tested_with,
        "status": status(run, training),
        "epochs": f"{run.epoch}/{config.epochs}",
        "dataset": config.dataset,
        "attack": f"{attack_name(config.resolved_attack)}, ε {config.epsilon:g}" if config.num_perturbed != 0 else "",
        "seed": config.seed,
        "seconds an epoch": metrics[list(COST_PHASES)].sum(axis=1).median(),
        "total seconds": metrics.filter(like="seconds_").sum().sum(),
    }


def status(run: Run, training: bool) -> str:
    """`training`, `showcase`, `complete` or `cut off`."""
    if training:
        return "training"
    if run.showcase:
        return "showcase" if run.complete else "showcase, cut off"
    return "complete" if run.complete else "cut off"


def flags(metrics: pd.DataFrame, *, complete: bool) -> list[str]:
    """What is wrong with the last epoch of `Run.metrics()`; nothing is said of a run that has not yet learnt."""
    last = metrics.iloc[-1]
    learnt = complete or bool(metrics["clean_accuracy_val"].max() >= COLLAPSED)
    found = []
    if learnt and last["clean_accuracy_val"] < COLLAPSED:
        found.append("clean accuracy collapsed")
    fgsm, pgd = last["fgsm_accuracy_val"], last["robust_accuracy_val"]
    if fgsm > last["clean_accuracy_attacked"]:
        found.append("label leaking")
    # Wong, Rice, Kolter 2020 ("Fast is better than free"): accuracy under PGD falls to nothing while FGSM's stays. The
    # two margins are ours. Networks that were not trained on x′ resist neither attack, and overfit to none.
    if last["num_drawn"] > 0 and fgsm - pgd > 0.15 and pgd < fgsm / 2:
        found.append("catastrophic overfitting")
    return found


def runs_table(runs: Sequence[Run], training: Collection[str] = ()) -> pd.DataFrame:
    """One row a run; `training` holds the ids of runs whose trainer is at work."""
    return pd.DataFrame([summary(run, run.id in training) for run in runs])


def epoch_metrics(run: Run) -> pd.DataFrame:
    """Losses and validation accuracies: epoch, kind (`loss` or `accuracy`), measure, value."""
    long = run.metrics().melt("epoch", list(MEASURES), "name", "value").dropna(subset="value")
    long["kind"] = long["name"].map({name: kind for name, (kind, _) in MEASURES.items()})
    long["measure"] = long["name"].map({name: measure for name, (_, measure) in MEASURES.items()})
    return long[["epoch", "kind", "measure", "value"]].reset_index(drop=True)


def last_losses(run: Run) -> dict[str, float]:
    """Training loss of the last epoch in nats over all, perturbed and unperturbed samples, where there are any."""
    last = run.metrics().iloc[-1]
    losses = {measure: last[name] for name, (kind, measure) in MEASURES.items() if kind == "loss"}
    return {measure: float(loss) for measure, loss in losses.items() if pd.notna(loss)}


# --- One epoch -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DrawStatistics:
    """How uneven p was in one epoch and how far K moved; `overlap` is None in the first epoch that drew."""

    num_drawn: int
    num_train: int
    effective_sample_size: float
    gini: float
    top_mass: float
    overlap: float | None


def draw_statistics(run: Run, epoch: int) -> DrawStatistics | None:
    """Statistics of an epoch's p and K; None if nothing was drawn from a distribution (n = 0, all, warm-up)."""
    p, drawn = run.probabilities(epoch), run.drawn(epoch)
    if p is None:
        return None
    before = run.drawn(epoch - 1) if epoch > 1 else np.arange(0)
    return DrawStatistics(
        num_drawn=len(drawn),
        num_train=len(p),
        effective_sample_size=diagnostics.effective_sample_size(p),
        gini=diagnostics.gini(p),
        top_mass=diagnostics.top_mass(p),
        overlap=diagnostics.jaccard(drawn, before) if len(before) else None,
    )


def picked(run: Run, epoch: int, dataset: Dataset | None = None, order: str = "as drawn") -> pd.DataFrame:
    """The recorded images of an epoch: position (row of `x_adv`), image (row i), p, rank of p, label, class.

    `order`: `as drawn`, `by p` (largest first) or `by class`. p and rank are missing where n = all; label and class
    without `dataset`. AATError if an image is not in it.
    """
    image = run.drawn(epoch)[: len(run.x_adv(epoch))]
    p = run.probabilities(epoch)
    frame = pd.DataFrame({"position": np.arange(len(image)), "image": image})
    frame["p"] = np.nan if p is None else p[image].astype(np.float64)
    frame["rank"] = pd.array([pd.NA] * len(image) if p is None else diagnostics.ranks(p)[image], dtype="Int64")
    label = None if dataset is None else _labels(run, dataset, image)
    frame["label"] = pd.array([pd.NA] * len(image) if label is None else label, dtype="Int64")
    frame["class"] = None if dataset is None or label is None else np.array(dataset.class_names)[label]
    keys = {"as drawn": ["position"], "by p": ["rank", "position"], "by class": ["label", "position"]}
    if order not in keys:
        raise AATError(f"order={order} is unknown; choose one of {', '.join(keys)}")
    return frame.sort_values(keys[order], ignore_index=True)


def _labels(run: Run, dataset: Dataset, rows: Array) -> NDArray[np.uint8]:
    T = len(dataset.train.labels)
    if len(rows) and int(rows.max()) >= T:
        raise AATError(f"image={rows.max()} of run={run.id} is not in {dataset.name}, which has {T} training images")
    return dataset.train.labels[rows]


def p_histogram(run: Run, epoch: int, bins: int = 40) -> pd.DataFrame | None:
    """Histogram of p, all T and drawn: p_low, p_high, group, count, share of its group; uniform is 1/T.

    None if there is no p; samples with p = 0 are in no bin.
    """
    p, drawn = run.probabilities(epoch), run.drawn(epoch)
    if p is None:
        return None
    binned = diagnostics.histogram(p, drawn, bins)
    parts = []
    for group, counts, total in (("all", binned.counts_all, len(p)), ("drawn", binned.counts_drawn, len(drawn))):
        part = pd.DataFrame({"p_low": binned.edges[:-1], "p_high": binned.edges[1:], "group": group, "count": counts})
        parts.append(part.assign(share=part["count"] / max(1, total), uniform=1 / len(p)))
    return pd.concat(parts, ignore_index=True)


def class_mix(run: Run, epoch: int, dataset: Dataset) -> pd.DataFrame:
    """Classes of all T samples and of the drawn: label, class, group, count, share of its group (sums to 1)."""
    names = dataset.class_names
    parts = []
    for group, labels in (("all", dataset.train.labels), ("drawn", _labels(run, dataset, run.drawn(epoch)))):
        counts = np.bincount(labels, minlength=len(names))
        part = pd.DataFrame({"label": range(len(names)), "class": names, "group": group, "count": counts})
        parts.append(part.assign(share=counts / max(1, len(labels))))
    return pd.concat(parts, ignore_index=True)


# --- Many runs: the paper's figures --------------------------------------------------------------------------------


def evaluated(runs: Sequence[Run]) -> pd.DataFrame:
    """Every accuracy of the tests that count, see `evaluations.counting`: one row a run, test and ε.

    `position` places n on a number line (T for all); `test` names attack and images, of which there are `images`;
    `epoch` is the one tested.
    """
    parts = []
    for run in runs:
        config = run.config
        position = int(run.metrics()["num_drawn"].max()) if config.num_perturbed == "all" else config.num_perturbed
        for test, evaluation in evaluations.counting(run.evaluations()).items():
            part = pd.DataFrame({"epsilon": evaluation.epsilons, "accuracy": evaluation.accuracies})
            parts.append(
                part.assign(
                    run=run.id,
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
                )
            )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=EVALUATED)


def untested(frame: pd.DataFrame, runs: Sequence[Run]) -> list[str]:
    """Ids of the runs that an `evaluated` frame has no row of."""
    found = set(frame["run"])
    return [run.id for run in runs if run.id not in found]


def datasets(frame: pd.DataFrame) -> list[str]:
    """Data sets of an `evaluated` frame, by name."""
    return sorted(frame["dataset"].unique())


def tests(frame: pd.DataFrame) -> list[str]:
    """Tests of an `evaluated` frame, the one of most runs first, of these the one on most images, then the hardest.

    FGSM, which proves nothing alone, comes after all others.
    """
    trained = (frame["epsilon"] - frame["training_epsilon"]).abs() < 1e-6
    left = frame[trained].groupby("test")["accuracy"].mean()
    found = frame.groupby("test").agg(runs=("run", "nunique"), images=("images", "max"))
    order = found.assign(fgsm=found.index.str.startswith("FGSM"), left=left).sort_values(
        ["fgsm", "runs", "images", "left"], ascending=[True, False, False, True], kind="stable"
    )
    return list(order.index)


def recipes(frame: pd.DataFrame, dataset: str) -> list[Recipe]:
    """Recipes of one data set that are not merely the baseline of another, the one with most runs first."""
    found = frame[frame["dataset"] == dataset].groupby("recipe", sort=False)["run"].nunique()
    whole = [one for one in found.index if not any(other != one and other.covers(one) for other in found.index)]
    return sorted(whole, key=lambda one: (-found[one], str(one)))


def of_recipe(
    frame: pd.DataFrame, dataset: str, chosen: Recipe, powers: Collection[float] | None = None
) -> pd.DataFrame:
    """The rows of one data set that belong to a recipe, with `panel` (norm name): baselines stand in every panel.

    `powers` are the norm powers with a panel; None: those that the recipe's runs have.
    """
    mine: pd.DataFrame = frame[(frame["dataset"] == dataset) & frame["recipe"].map(chosen.covers)]
    mine = mine.assign(recipe=str(chosen))
    baseline = mine["n"].isin(BASELINES)
    if (mine["n"] != "0").any():  # n = 0 never used its own ε
        mine = mine.assign(training_epsilon=mine.loc[mine["n"] != "0", "training_epsilon"].iloc[0])
    panels: list[pd.DataFrame] = []
    for power in _panel_powers(mine) if powers is None else powers:
        panels.append(mine[baseline | (mine["norm_power"] == power)].assign(panel=norm_name(power)))
    return pd.concat(panels, ignore_index=True)


def _panel_powers(frame: pd.DataFrame) -> list[float]:
    """Norm powers of the runs that sample: Norm, Squared Norm, then others, the uniform control last."""
    powers = frame.loc[~frame["n"].isin(BASELINES), "norm_power"].unique()
    return sorted(powers, key=lambda power: (power == 0, power)) or [1.0]


def robustness(frame: pd.DataFrame, dataset: str, chosen: Recipe, test: str) -> pd.DataFrame:
    """Fig. 1–3: accuracy against ε, one row a run, ε and panel."""
    return of_recipe(frame[frame["test"] == test], dataset, chosen)


def pgd_on_all(frame: pd.DataFrame, test: str) -> pd.DataFrame:
    """Fig. 5: accuracy against ε of networks trained with PGD on all samples; the panel is the data set."""
    mine = frame[(frame["n"] == "all") & (frame["attack"] == "pgd") & (frame["test"] == test)]
    shown: pd.DataFrame = mine.assign(panel=mine["dataset"], recipe=mine["recipe"].map(str))
    return shown.reset_index(drop=True)


def accuracy_against_n(
    frame: pd.DataFrame, chosen: Mapping[str, Recipe], test: str, *, robust: bool = False
) -> pd.DataFrame:
    """Fig. 4: clean accuracy (or robust accuracy at the training ε) against n, one row a run and panel."""
    frame = frame[frame["test"] == test]
    members = [of_recipe(frame, dataset, one) for dataset, one in chosen.items()]
    powers = _panel_powers(pd.concat(members))
    mine = pd.concat([of_recipe(frame, dataset, one, powers) for dataset, one in chosen.items()], ignore_index=True)
    wanted: Any = mine["training_epsilon"] if robust else 0.0
    tested: pd.DataFrame = mine[(mine["epsilon"] - wanted).abs() < 1e-6]
    return tested.reset_index(drop=True)


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
