"""Runs side by side: settings that differ, curves, what each drew, and pairs of runs with the same seed."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from aat_explore.config import RunConfig
from aat_explore.readings import BOOKKEEPING
from aat_explore.views import checks, diagnostics
from aat_explore.views.frames.figures import evaluated, over_seeds
from aat_explore.views.frames.runs import epoch_metrics
from aat_explore.views.frames.sample import draw_matrix
from aat_explore.views.protocols import Array, Run
from aat_explore.views.summary import summary

CURVES = ("training loss", "clean accuracy", "robust accuracy (FGSM)", "robust accuracy (PGD)")
OVERLAP = ["pair", "epoch", "overlap", "chance", "drawn by both", "drawn by the first", "drawn by the second"]
CLEAN, ROBUST = "clean accuracy", "robust accuracy"


# --- Which runs, and how they differ --------------------------------------------------------------------------------


def letters(runs: Sequence[Run]) -> dict[str, str]:
    """Short names of a few runs for charts and tables: run id → A, B, …"""
    return {run.id: chr(ord("A") + at) for at, run in enumerate(runs)}


def nearest_runs(config: RunConfig, runs: Sequence[Run]) -> list[str]:
    """Ids of `runs`, the most comparable to one with this config first.

    First those of the same data set, then those with a record of picks, then by the number of settings that differ,
    seed included; a mere repetition comes after the runs that differ in one setting, whatever their seed.
    """
    wanted = _without_seed(config)

    def distance(other: Run) -> tuple[bool, bool, float]:
        of_other = _without_seed(other.config)
        differing = sum(of_other[name] != value for name, value in wanted.items())
        seeds = other.config.seed != config.seed
        picked = other.recorded and other.config.num_perturbed != 0
        return other.config.dataset != config.dataset, not picked, differing + seeds if differing else 2.5

    return [other.id for other in sorted(runs, key=distance)]


def pairs(runs: Sequence[Run]) -> dict[str, tuple[str, str]]:
    """All pairs of the runs, in order: `A and B` → their ids."""
    named = letters(runs)
    return {
        f"{named[first.id]} and {named[second.id]}": (first.id, second.id) for first, second in combinations(runs, 2)
    }


def settings(run: Run) -> dict[str, Any]:
    """Every field of a run's config by name, with those of the resolved attack: `attack.steps` and so on."""
    fields = {name: value for name, value in run.config if name != "attack"}
    attack = run.config.resolved_attack
    of_attack = {name: getattr(attack, name) for name in ("kind", "steps", "step_size", "random_start", "label")}
    of_attack["options"] = tuple(f"{name} {value:g}" for name, value in attack.options)
    return fields | {f"attack.{name}": value for name, value in of_attack.items()}


def config_differences(runs: Sequence[Run]) -> pd.DataFrame:
    """Settings in which the runs differ, as text: `setting`, then one column per run, named by its letter."""
    all_settings = [settings(run) for run in runs]
    different = [name for name in all_settings[0] if len({str(each[name]) for each in all_settings}) > 1]
    columns = {letter: [_text(each[name]) for name in different] for letter, each in _by_letter(runs, all_settings)}
    return pd.DataFrame({"setting": different, **columns})


def _by_letter(runs: Sequence[Run], values: Sequence[Any]) -> list[tuple[str, Any]]:
    return list(zip(letters(runs).values(), values, strict=True))


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def results(runs: Sequence[Run], test: str | None = None, epsilon: float | None = None) -> pd.DataFrame:
    """What a few runs reached and cost, one row each: letter, id, clean, robust, epoch (s), total (s), flag.

    Accuracies are by `test`, robust ones at ε; without a test, each run's latest, at its training ε. Every number has a
    column `… more`, by how much it exceeds that of the first run; accuracies are shares, what is not known is missing.
    """
    rows = [summary(run) for run in runs]
    table = pd.DataFrame(
        {
            "letter": list(letters(runs).values()),
            "id": [run.id for run in runs],
            "clean": [row["clean accuracy"] for row in rows],
            "robust": [row["robust accuracy"] for row in rows],
            "epoch": [row["seconds per epoch"] for row in rows],
            "total": [row["total seconds"] for row in rows],
            "flag": [row["flag"] for row in rows],
        }
    )
    if test is not None and epsilon is not None:
        frame = evaluated(runs)
        frame = frame[frame["test"] == test]
        for name, budget in (("clean", 0.0), ("robust", epsilon)):
            of_run = frame[(frame["epsilon"] - budget).abs() < 1e-6].groupby("run")["accuracy"].mean()
            table[name] = table["id"].map(of_run)
    for name in ("clean", "robust", "epoch", "total"):
        table[name] = table[name].astype(float)
        table[f"{name} more"] = table[name] - table[name].iloc[0]
    return table


def curves(runs: Sequence[Run], measure: str) -> pd.DataFrame:
    """One of `CURVES` over the epochs: run (letter, with ✗ if it fails checks), id, failed, epoch, value.

    Values are nats, or shares of the validation images; `failed` names the checks.
    """
    kind, name = {
        "training loss": ("loss", "all"),
        "clean accuracy": ("accuracy", "clean"),
        "robust accuracy (FGSM)": ("accuracy", "robust (FGSM)"),
        "robust accuracy (PGD)": ("accuracy", "robust (PGD)"),
    }[measure]
    parts = []
    flags_of = {run.id: checks.flags(run) for run in runs}
    for run_id, letter in letters(runs).items():
        long = epoch_metrics(next(run for run in runs if run.id == run_id))
        rows = long[(long["kind"] == kind) & (long["measure"] == name)]
        failed = ", ".join(flags_of[run_id])
        label = f"{letter} ✗" if failed else letter
        parts.append(rows[["epoch", "value"]].assign(run=label, id=run_id, failed=failed))
    return pd.concat(parts, ignore_index=True)[["run", "id", "failed", "epoch", "value"]]


# --- What each drew --------------------------------------------------------------------------------------------------


def overlap(runs: Sequence[Run]) -> pd.DataFrame:
    """Jaccard overlap |K ∩ K′| / |K ∪ K′| of each pair of runs of one data set, in every epoch in which both drew.

    `chance` is the overlap of two independent uniform draws of those sizes, with |K ∩ K′| at its mean |K| |K′| / T.
    """
    matrices = {run.id: draw_matrix(run) for run in runs}
    by_id = {run.id: run for run in runs}
    parts = []
    for pair, (first_id, second_id) in pairs(runs).items():
        if by_id[first_id].config.dataset != by_id[second_id].config.dataset:
            continue
        first, second = _same_shape(matrices[first_id], matrices[second_id])
        first_sizes, second_sizes = first.sum(axis=1), second.sum(axis=1)
        both = (first & second).sum(axis=1)
        drew = (first_sizes > 0) & (second_sizes > 0)
        part = pd.DataFrame(
            {
                "epoch": np.arange(1, len(first) + 1),
                "overlap": both / np.maximum(1, first_sizes + second_sizes - both),
                "chance": diagnostics.jaccard_by_chance(first_sizes, second_sizes, first.shape[1]),
                "drawn by both": both,
                "drawn by the first": first_sizes,
                "drawn by the second": second_sizes,
            }
        )
        parts.append(part[drew].assign(pair=pair))
    tables = [part for part in parts if len(part)]
    return pd.concat(tables, ignore_index=True)[OVERLAP] if tables else pd.DataFrame(columns=OVERLAP)


def _same_shape(first: Array, second: Array) -> tuple[Array, Array]:
    """Two draw matrices, cut to the epochs that both have and padded to the larger T."""
    epochs, T = min(len(first), len(second)), max(first.shape[1], second.shape[1])
    first, second = (np.pad(each[:epochs], ((0, 0), (0, T - each.shape[1]))) for each in (first, second))
    return first, second


def times_drawn_by_each(first_run: Run, second_run: Run) -> pd.DataFrame:
    """How often each of two runs of one data set drew an image, in the epochs that both have: image, first, second.

    Only images that at least one of them drew; int32 and int16, so that 55,000 rows take 440 kB.
    """
    first, second = (
        m.sum(axis=0, dtype=np.int16) for m in _same_shape(draw_matrix(first_run), draw_matrix(second_run))
    )
    image = np.flatnonzero(first + second).astype(np.int32)
    return pd.DataFrame({"image": image, "first": first[image], "second": second[image]})


def draw_differences(counts: pd.DataFrame, column: str) -> pd.DataFrame:
    """Images that only the run of this column drew (`first`, `second`), the most often drawn first.

    `counts`: `times_drawn_by_each`. For `either`: all images, by how much more often one of the two drew them.
    """
    if column == "either":
        difference = counts["second"] - counts["first"]
        order = difference.abs()
    else:
        counts = counts[counts[{"first": "second", "second": "first"}[column]] == 0]
        difference = counts["second"] - counts["first"]
        order = counts[column]
    ranked = counts.assign(difference=difference, order=order)
    return ranked.sort_values(["order", "image"], ascending=[False, True], ignore_index=True).drop(columns="order")


def count_captions(ranked: pd.DataFrame, names: tuple[str, str]) -> tuple[list[str], list[str]]:
    """For tiles of `draw_differences`: short captions, how often each run picked the sample, and one-line titles."""
    rows = list(ranked[["image", "first", "second"]].itertuples(index=False, name=None))
    captions = [
        f"{first}×" if not second else f"{second}×" if not first else f"{names[0]} {first} {names[1]} {second}"
        for _, first, second in rows
    ]
    titles = [f"#{image}, picked {first}× by {names[0]} and {second}× by {names[1]}" for image, first, second in rows]
    return captions, titles


# --- Pairs of runs with the same seed --------------------------------------------------------------------------------


def repetitions(first: Run, second: Run) -> bool:
    """Whether two runs differ only in the seed and bookkeeping settings."""
    return _without_seed(first.config) == _without_seed(second.config)


def alike_but_for_the_seed(runs: Sequence[Run], like: Run) -> list[str]:
    """Ids of the runs that share all settings of `like` except the seed and bookkeeping."""
    wanted = _without_seed(like.config)
    return [run.id for run in runs if _without_seed(run.config) == wanted]


def _without_seed(config: RunConfig) -> dict[str, Any]:
    canonical = config.canonical()
    fields = {name: value for name, value in canonical if name not in {"attack", "seed", *BOOKKEEPING}}
    return fields | {"attack": canonical.resolved_attack}


def paired_by_seed(runs: Sequence[Run], first: Run, second: Run, test: str, epsilon: float) -> pd.DataFrame:
    """Clean accuracy and robust accuracy (`test`, ε) of runs like `first` and like `second`, one row per common seed.

    Columns: seed, then for each accuracy `<accuracy> first`, `second` and `difference`, second minus first.
    """
    alike = {"first": alike_but_for_the_seed(runs, first), "second": alike_but_for_the_seed(runs, second)}
    frame = evaluated([run for run in runs if run.id in {*alike["first"], *alike["second"]}])
    frame = frame[frame["test"] == test]
    columns: dict[str, pd.Series] = {}
    for name, budget in ((CLEAN, 0.0), (ROBUST, epsilon)):
        at = frame[(frame["epsilon"] - budget).abs() < 1e-6]
        for place, ids in alike.items():
            columns[f"{name} {place}"] = at[at["run"].isin(ids)].groupby("seed")["accuracy"].mean()
        columns[f"{name} difference"] = columns[f"{name} second"] - columns[f"{name} first"]
    table = pd.DataFrame(columns).dropna(subset=[f"{CLEAN} difference", f"{ROBUST} difference"], how="all")
    return table.rename_axis("seed").reset_index()


def mean_differences(paired: pd.DataFrame) -> pd.DataFrame:
    """Mean difference in `paired_by_seed`, its sd (missing for one seed), and seeds; one row per accuracy."""
    long = paired.melt("seed", [f"{CLEAN} difference", f"{ROBUST} difference"], "measure", "accuracy").dropna()
    table = over_seeds(long, ["measure"]).rename(columns={"mean": "mean difference"})
    table["measure"] = table["measure"].str.removesuffix(" difference")
    return table[["measure", "mean difference", "sd", "seeds"]]


def in_points(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with differences and their standard deviation in points of accuracy: 0.01 is 1 point."""
    columns = [name for name in frame.columns if "difference" in name or name == "sd"]
    return frame.assign(**{name: 100 * frame[name] for name in columns})


def tested_alike(runs: Sequence[Run]) -> Mapping[str, list[float]]:
    """Tests that all runs share, and for each the ε > 0 at which all were tested, ascending."""
    frame = evaluated(runs)
    frame = frame[frame["epsilon"] > 0]
    rounded = frame.assign(epsilon=frame["epsilon"].round(6))
    runs_of = rounded.groupby(["test", "epsilon"])["run"].nunique()
    common = runs_of[runs_of == len(runs)].reset_index()
    return {str(test): sorted(part["epsilon"]) for test, part in common.groupby("test")}
