"""The paper's five claims, each with what was measured, its interval, and a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import inf, sqrt
from statistics import NormalDist, mean, stdev

import pandas as pd

from aat_explore.dataset_specs import spec_of
from aat_explore.views.frames.figures import BASELINES, CLAIMED_POINTS, of_recipe, tested_with
from aat_explore.views.recipes import Recipe, norm_name

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
COMPARABLE = 5.0  # points of robust accuracy: what we take "comparable" to mean
NEARLY = 2.0  # points of robust accuracy that are as good as none lost
ROBUST = 10.0  # points of robust accuracy above n = 0: what we take "gives robustness" to mean
ENOUGH = {HOLDS: "yes", FAILS: "no", UNDECIDED: UNDECIDED}
COLUMNS = ["claim", "dataset", "panel", "what", "value", "low", "high", "unit", "means", "seeds", "verdict"]
STATEMENTS = {
    1: f"AAT changes clean accuracy by at most {CLAIMED_POINTS:g} points against n = 0.",
    2: "Full FGSM training costs at most 0.5 points of clean accuracy on MNIST, and 2 to 4 points on Fashion-MNIST and "
    "CIFAR10.",
    3: "AAT's robustness under PGD is comparable to full FGSM training (ours: at most "
    f"{COMPARABLE:g} points below it) and grows with n up to 10,000.",
    4: f"Training with FGSM alone gives robustness to PGD (ours: at least {ROBUST:g} points above n = 0).",
    5: "AAT is faster than perturbing the whole training set.",
}
ABOUT_FGSM = (2, 3, 4)
# Quantiles 0.975 of Student's t by degrees of freedom.
T_975 = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
Z_975 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Estimate:
    """A difference or ratio over seeds with its 95 % interval, and in words the two means that it is of."""

    value: float
    low: float
    high: float
    seeds: int
    means: str


def verdict(estimate: Estimate | None, least: float, most: float) -> str:
    """Whether an estimate is within [least, most]: holds or does not by the whole interval, else undecided."""
    if estimate is None:
        return UNDECIDED
    if least <= estimate.low and estimate.high <= most:
        return HOLDS
    if estimate.high < least or estimate.low > most:
        return FAILS
    return UNDECIDED


def difference(one: pd.DataFrame, other: pd.DataFrame) -> Estimate | None:
    """Accuracy of `one` less that of `other` in points, over the seeds that both have; None if there are none.

    With three seeds or more the interval is Student's, of the differences seed by seed. With fewer, seeds cannot tell
    how much they vary: then it only says how far other test images might move the difference, and is too narrow.
    """
    left, right = (part.groupby("seed")[["accuracy", "images"]].mean() for part in (one, other))
    seeds = sorted(set(left.index) & set(right.index))
    if not seeds:
        return None
    differences = [100 * float(left.loc[s, "accuracy"] - right.loc[s, "accuracy"]) for s in seeds]
    if len(seeds) > 2:
        half = t_quantile(len(seeds) - 1) * stdev(differences) / sqrt(len(seeds))
    else:
        shares = [
            (float(part.loc[s, "accuracy"]), float(part.loc[s, "images"])) for part in (left, right) for s in seeds
        ]
        half = 100 * Z_975 * sqrt(sum(p * (1 - p) / count for p, count in shares)) / len(seeds)
    centre = mean(differences)
    means = " against ".join(f"{100 * float(part.loc[seeds, 'accuracy'].mean()):.2f} %" for part in (left, right))
    return Estimate(centre, centre - half, centre + half, len(seeds), means)


def ratio_of_seconds(one: pd.DataFrame, other: pd.DataFrame) -> Estimate | None:
    """Training seconds of `one` over those of `other`, run by run of one seed and machine; from least to most."""
    keys = ["seed", "machine"]
    both = one.groupby(keys)["seconds"].mean().to_frame("one").join(other.groupby(keys)["seconds"].mean(), how="inner")
    if both.empty:
        return None
    ratios = both["one"] / both["seconds"]
    means = f"{both['one'].mean():.4g} s against {both['seconds'].mean():.4g} s"
    return Estimate(float(ratios.mean()), float(ratios.min()), float(ratios.max()), len(both), means)


def t_quantile(freedom: int) -> float:
    """Quantile 0.975 of Student's t; above nine degrees of freedom to 0.3 %."""
    return T_975.get(freedom) or Z_975 + 2.4 / freedom + 3.0 / freedom**2


def claims(frame: pd.DataFrame, chosen: Mapping[str, Recipe], test: str) -> pd.DataFrame:
    """Every comparison behind the five claims, for each data set's chosen recipe: `COLUMNS`, a row a comparison.

    `frame`: `frames.figures.evaluated`. `what` says what is compared, `value` is in points of accuracy or a ratio
    (`unit`). Claims 2 to 4 are about FGSM, and not judged by runs of another attack; claim 2 not on a data set of which
    the paper says nothing. Where full FGSM training is not robust itself, to be as robust as it says nothing:
    undecided.
    """
    parts: list[pd.DataFrame] = []
    for dataset, recipe in chosen.items():
        mine = of_recipe(tested_with(frame, test), dataset, recipe)
        for panel in dict.fromkeys(mine["panel"]):
            parts.append(_of_panel(dataset, panel, mine[mine["panel"] == panel]))
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
    found.loc[found["what"].str.startswith("all "), "panel"] = ""  # the same in every panel
    found = found.drop_duplicates(["claim", "dataset", "panel", "what"])
    robust = set(found.loc[(found["claim"] == 4) & (found["verdict"] == HOLDS), "dataset"])
    vacuous = (found["claim"] == 3) & found["what"].str.contains("less all") & ~found["dataset"].isin(robust)
    found.loc[vacuous & (found["verdict"] == HOLDS), "verdict"] = UNDECIDED
    return found.sort_values("claim", kind="stable", ignore_index=True)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """A verdict a claim and data set: it holds if all of its comparisons do, and does not if one does not."""
    rows = []
    for claim, statement in STATEMENTS.items():
        for dataset, part in found[found["claim"] == claim].groupby("dataset", sort=True):
            verdicts = set(part["verdict"])
            said = FAILS if FAILS in verdicts else UNDECIDED if UNDECIDED in verdicts else HOLDS
            rows.append((claim, statement, dataset, said))
    return pd.DataFrame(rows, columns=["claim", "statement", "dataset", "verdict"])


def _of_panel(dataset: str, panel: str, mine: pd.DataFrame) -> pd.DataFrame:
    clean = {str(n): part for n, part in mine[mine["epsilon"] == 0].groupby("n")}
    robust = {str(n): part for n, part in mine[_at_training_epsilon(mine)].groupby("n")}
    sampled = sorted(set(clean) - set(BASELINES), key=int)
    rows: list[tuple[object, ...]] = []

    def row(claim: int, what: str, found: Estimate | None, least: float, most: float, unit: str = "points") -> None:
        numbers = (None, None, None) if found is None else (found.value, found.low, found.high)
        means, seeds = ("not measured", 0) if found is None else (found.means, found.seeds)
        rows.append((claim, dataset, panel, what, *numbers, unit, means, seeds, verdict(found, least, most)))

    def less(parts: Mapping[str, pd.DataFrame], one: str, other: str) -> Estimate | None:
        return difference(parts[one], parts[other]) if one in parts and other in parts else None

    for n in sampled:
        row(1, f"n = {n} less n = 0, clean", less(clean, n, "0"), -CLAIMED_POINTS, CLAIMED_POINTS)
    if "all" in clean:
        spec = spec_of(dataset)
        if spec is not None and spec.points_lost is not None:
            row(2, "n = 0 less all, clean", less(clean, "0", "all"), *spec.points_lost)
        row(4, "all less n = 0, robust", less(robust, "all", "0"), ROBUST, inf)
        for n in sampled:
            row(3, f"n = {n} less all, robust", less(robust, n, "all"), -COMPARABLE, inf)
            row(5, f"n = {n} over all, training", ratio_of_seconds(clean[n], clean["all"]), 0.0, 1.0, "ratio")
    for fewer, more in pairwise(sampled):
        row(3, f"n = {more} less n = {fewer}, robust", less(robust, more, fewer), 0.0, inf)
    found = pd.DataFrame(rows, columns=COLUMNS)
    found.loc[found["what"] == "n = 0 less all, clean", "panel"] = ""
    of_fgsm = set(mine.loc[mine["n"] != "0", "attack"]) <= {"fgsm"}
    return found if of_fgsm else found[~found["claim"].isin(ABOUT_FGSM)]


def _at_training_epsilon(frame: pd.DataFrame) -> pd.Series:
    return (frame["epsilon"] - frame["training_epsilon"]).abs() < 1e-6


# --- What does work --------------------------------------------------------------------------------------------------


def _robust(frame: pd.DataFrame, dataset: str, recipe: Recipe, test: str) -> pd.DataFrame:
    """The runs of a recipe at the ε that they were trained at."""
    mine = of_recipe(tested_with(frame, test), dataset, recipe)
    return mine[_at_training_epsilon(mine)]


def against_all(frame: pd.DataFrame, dataset: str, recipe: Recipe, test: str, within: float = NEARLY) -> pd.DataFrame:
    """What each n loses of the robust accuracy of n = all, in points by pairs of one seed, and what it costs.

    Columns: norm, n, less all, low, high (95 %), means, seconds over those of all, seeds, and whether that is `enough`:
    yes or no where the whole interval is within so many points, or below; else undecided.
    """
    mine = _robust(frame, dataset, recipe, test)
    everything = mine[mine["n"] == "all"]
    rows = []
    for (panel, position), part in mine[~mine["n"].isin(BASELINES)].groupby(["panel", "position"], sort=False):
        lost = difference(part, everything)
        if lost is None:
            continue
        ratio = ratio_of_seconds(part, everything)
        said = ENOUGH[verdict(lost, -within, inf)]
        cost = None if ratio is None else ratio.value
        rows.append((panel, position, lost.value, lost.low, lost.high, lost.means, cost, lost.seeds, said))
    columns = ["norm", "n", "less all", "low", "high", "means", "seconds over all", "seeds", "enough"]
    return pd.DataFrame(rows, columns=columns).sort_values(["norm", "n"], ignore_index=True)


def smallest_enough(losses: pd.DataFrame, within: float = NEARLY) -> str:
    """For each norm of an `against_all` frame the smallest n that on average loses no more, in words."""
    said = []
    for norm, part in losses.groupby("norm", sort=True):
        enough = part[part["less all"] >= -within]
        said.append(f"{norm}: " + (f"n = {enough['n'].iloc[0]}" if len(enough) else "none of those trained"))
    return "; ".join(said)


def against_uniform(frame: pd.DataFrame, dataset: str, recipe: Recipe, test: str) -> pd.DataFrame:
    """Robust accuracy of picking by norm (or the recipe's score) less that of picking at random, in points.

    Pairs are of one seed and n. Columns: norm, n, difference, low, high (95 %), means, seeds, and whether `norm` is
    better, worse or undecided.
    """
    mine = _robust(frame, dataset, recipe, test)
    mine = mine[~mine["n"].isin(BASELINES)]
    rows = []
    for power in sorted(set(mine["norm_power"]) - {0.0}):
        for n in sorted(set(mine["n"]), key=int):
            same = mine[mine["n"] == n]
            found = difference(same[same["norm_power"] == power], same[same["norm_power"] == 0])
            if found is not None:
                said = "better" if found.low > 0 else "worse" if found.high < 0 else UNDECIDED
                rows.append(
                    (
                        norm_name(power, recipe.score),
                        int(n),
                        found.value,
                        found.low,
                        found.high,
                        found.means,
                        found.seeds,
                        said,
                    )
                )
    return pd.DataFrame(
        rows, columns=["norm", "n", "difference", "low", "high", "means", "seeds", "picking by norm is"]
    )
