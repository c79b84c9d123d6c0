"""Runs beside each other: settings that differ, curves, what each drew, and pairs of runs with the same seed."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from aat_explore.readings import BOOKKEEPING
from aat_explore.views import checks, diagnostics
from aat_explore.views.frames.figures import evaluated, over_seeds
from aat_explore.views.frames.runs import epoch_metrics
from aat_explore.views.frames.sample import drawn_matrix
from aat_explore.views.protocols import Array, Run

CURVES = ("training loss", "clean accuracy", "robust accuracy (FGSM)", "robust accuracy (PGD)")
OVERLAP = ["pair", "epoch", "overlap", "chance", "drawn by both", "drawn by the first", "drawn by the second"]
CLEAN, ROBUST = "clean accuracy", "robust accuracy"


# --- Which runs, and what sets them apart ----------------------------------------------------------------------------


def letters(runs: Sequence[Run]) -> dict[str, str]:
    """Short names for a few runs in charts and tables: run id → A, B, ..."""
    return {run.id: chr(ord("A") + at) for at, run in enumerate(runs)}


def first_pair(runs: Sequence[Run]) -> list[str]:
    """Ids of the first two runs of one data set, if possible of one seed and such as draw; of one if all differ."""
    ordered = sorted(runs, key=lambda run: not run.config.samples)
    for same in (("dataset", "seed"), ("dataset",)):
        for one, other in combinations(ordered, 2):
            if all(getattr(one.config, name) == getattr(other.config, name) for name in same):
                return [one.id, other.id]
    return [run.id for run in ordered[:1]]


def pairs(runs: Sequence[Run]) -> dict[str, tuple[str, str]]:
    """Every two of the runs, in order: `A and B` → their ids."""
    named = letters(runs)
    return {f"{named[one.id]} and {named[other.id]}": (one.id, other.id) for one, other in combinations(runs, 2)}


def settings(run: Run) -> dict[str, Any]:
    """Every field of a run's config by name, the attack's as resolved: `attack.steps` and so on."""
    fields = {name: value for name, value in run.config if name != "attack"}
    attack = run.config.resolved_attack
    of_attack = {name: getattr(attack, name) for name in ("kind", "steps", "step_size", "random_start", "label")}
    of_attack["options"] = tuple(f"{name} {value:g}" for name, value in attack.options)
    return fields | {f"attack.{name}": value for name, value in of_attack.items()}


def config_differences(runs: Sequence[Run]) -> pd.DataFrame:
    """Settings in which the runs differ, as text: `setting`, then a column a run, named by its letter."""
    all_settings = [settings(run) for run in runs]
    different = [name for name in all_settings[0] if len({str(one[name]) for one in all_settings}) > 1]
    columns = {letter: [_said(one[name]) for name in different] for letter, one in _by_letter(runs, all_settings)}
    return pd.DataFrame({"setting": different, **columns})


def _by_letter(runs: Sequence[Run], values: Sequence[Any]) -> list[tuple[str, Any]]:
    return list(zip(letters(runs).values(), values, strict=True))


def _said(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def curves(runs: Sequence[Run], measure: str) -> pd.DataFrame:
    """One of `CURVES` by epoch: run (letter, ✗ if it fails checks), id, failed, epoch, value.

    Values are nats, or shares of validation images; `failed` names the checks.
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
        mine = long[(long["kind"] == kind) & (long["measure"] == name)]
        failed = ", ".join(flags_of[run_id])
        named = f"{letter} ✗" if failed else letter
        parts.append(mine[["epoch", "value"]].assign(run=named, id=run_id, failed=failed))
    return pd.concat(parts, ignore_index=True)[["run", "id", "failed", "epoch", "value"]]


# --- What each drew --------------------------------------------------------------------------------------------------


def overlap(runs: Sequence[Run]) -> pd.DataFrame:
    """Jaccard overlap |K ∩ K′| / |K ∪ K′| of each two runs of one data set, in every epoch in which both drew.

    `chance` is what two independent uniform draws of those sizes would share: with |K ∩ K′| at its mean |K| |K′| / T.
    """
    matrices = {run.id: drawn_matrix(run) for run in runs}
    by_id = {run.id: run for run in runs}
    parts = []
    for pair, (one, other) in pairs(runs).items():
        if by_id[one].config.dataset != by_id[other].config.dataset:
            continue
        first, second = _alike(matrices[one], matrices[other])
        sizes, others = first.sum(axis=1), second.sum(axis=1)
        both = (first & second).sum(axis=1)
        drew = (sizes > 0) & (others > 0)
        part = pd.DataFrame(
            {
                "epoch": np.arange(1, len(first) + 1),
                "overlap": both / np.maximum(1, sizes + others - both),
                "chance": diagnostics.jaccard_by_chance(sizes, others, first.shape[1]),
                "drawn by both": both,
                "drawn by the first": sizes,
                "drawn by the second": others,
            }
        )
        parts.append(part[drew].assign(pair=pair))
    found = [part for part in parts if len(part)]
    return pd.concat(found, ignore_index=True)[OVERLAP] if found else pd.DataFrame(columns=OVERLAP)


def _alike(one: Array, other: Array) -> tuple[Array, Array]:
    """Two drawn matrices cut to the epochs that both have and widened to the T of the larger."""
    epochs, T = min(len(one), len(other)), max(one.shape[1], other.shape[1])
    first, second = (np.pad(each[:epochs], ((0, 0), (0, T - each.shape[1]))) for each in (one, other))
    return first, second


def drawn_counts(one: Run, other: Run) -> pd.DataFrame:
    """How often two runs of one data set drew each image, in the epochs that both have: image, first, second.

    Only images that one of them drew at all; int32 and int16, so that 55,000 of them are 440 kB.
    """
    first, second = (m.sum(axis=0, dtype=np.int16) for m in _alike(drawn_matrix(one), drawn_matrix(other)))
    image = np.flatnonzero(first + second).astype(np.int32)
    return pd.DataFrame({"image": image, "first": first[image], "second": second[image]})


def drawn_by_one(counts: pd.DataFrame, column: str) -> pd.DataFrame:
    """Images of `drawn_counts` that only the run of this column (`first`, `second`) drew, the most often drawn first.

    Of `either`: all images, by how much more often one of the two drew them.
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
    """For tiles of `drawn_by_one`: two-line captions, row and counts by the runs' names, and the same in words."""
    rows = list(ranked[["image", "first", "second"]].itertuples(index=False, name=None))
    captions = [f"#{image}\n{names[0]} {first}  {names[1]} {second}" for image, first, second in rows]
    titles = [f"image {image}: drawn {first}× by {names[0]}, {second}× by {names[1]}" for image, first, second in rows]
    return captions, titles


# --- Pairs of runs with the same seed --------------------------------------------------------------------------------


def repetitions(one: Run, other: Run) -> bool:
    """Whether two runs differ in no more than the seed and bookkeeping."""
    return _without_seed(one) == _without_seed(other)


def alike_but_for_the_seed(runs: Sequence[Run], like: Run) -> list[str]:
    """Ids of the runs that have all settings of `like`, but for the seed and what is only bookkeeping."""
    wanted = _without_seed(like)
    return [run.id for run in runs if _without_seed(run) == wanted]


def _without_seed(run: Run) -> dict[str, Any]:
    config = run.config.canonical()
    fields = {name: value for name, value in config if name not in {"attack", "seed", *BOOKKEEPING}}
    return fields | {"attack": config.resolved_attack}


def paired_by_seed(runs: Sequence[Run], one: Run, other: Run, test: str, epsilon: float) -> pd.DataFrame:
    """Clean accuracy and robust accuracy (`test`, ε) of runs like `one` and like `other`, a row a seed that both have.

    Columns: seed, then for each accuracy `<accuracy> first`, `second` and `difference`, second less first.
    """
    alike = {"first": alike_but_for_the_seed(runs, one), "second": alike_but_for_the_seed(runs, other)}
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
    """Mean difference of `paired_by_seed`, its standard deviation (missing for one seed), and seeds; a row each."""
    long = paired.melt("seed", [f"{CLEAN} difference", f"{ROBUST} difference"], "measure", "accuracy").dropna()
    found = over_seeds(long, ["measure"]).rename(columns={"mean": "mean difference"})
    found["measure"] = found["measure"].str.removesuffix(" difference")
    return found[["measure", "mean difference", "sd", "seeds"]]


def in_points(frame: pd.DataFrame) -> pd.DataFrame:
    """The same with differences and their standard deviation in points of accuracy: 0.01 is 1 point."""
    columns = [name for name in frame.columns if "difference" in name or name == "sd"]
    return frame.assign(**{name: 100 * frame[name] for name in columns})


def tested_alike(runs: Sequence[Run]) -> Mapping[str, list[float]]:
    """Tests that all runs have, and for each the ε > 0 that all were tested at, ascending."""
    frame = evaluated(runs)
    frame = frame[frame["epsilon"] > 0]
    rounded = frame.assign(epsilon=frame["epsilon"].round(6))
    runs_of = rounded.groupby(["test", "epsilon"])["run"].nunique()
    common = runs_of[runs_of == len(runs)].reset_index()
    return {str(test): sorted(part["epsilon"]) for test, part in common.groupby("test")}
