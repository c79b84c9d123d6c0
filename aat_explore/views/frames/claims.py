"""The paper's five claims: for each the measurements, their intervals and a verdict."""

import re
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
COMPARABLE = 5.0  # points of robust accuracy: our threshold for "comparable"
NEARLY = 2.0  # points of robust accuracy that may be lost
ROBUST = 10.0  # points of robust accuracy above n = 0: our threshold for "gives robustness"
ENOUGH = {HOLDS: "yes", FAILS: "no", UNDECIDED: UNDECIDED}
COLUMNS = ["claim", "dataset", "panel", "what", "value", "low", "high", "unit", "means", "seeds", "verdict"]
STATEMENTS = {
    1: f"AAT changes clean accuracy by at most {CLAIMED_POINTS:g} points against n = 0.",
    2: "Full FGSM training costs at most 0.5 points of clean accuracy on MNIST, and 2 to 4 points on Fashion-MNIST and "
    "CIFAR10.",
    3: "AAT's robustness under PGD is comparable to full FGSM training (our threshold: at most "
    f"{COMPARABLE:g} points below it) and grows with n up to 10,000.",
    4: f"Training with FGSM alone gives robustness to PGD (our threshold: at least {ROBUST:g} points above n = 0).",
    5: "AAT is faster than perturbing the whole training set.",
}
SHORT = {  # for beside a figure
    1: f"AAT costs at most {CLAIMED_POINTS:g} points of clean accuracy",
    2: "Full FGSM training costs as much clean accuracy as the paper says",
    3: "AAT is about as robust as full FGSM training, and more robust with larger n",
    4: "Training with FGSM alone gives robustness to PGD",
    5: "AAT is faster than perturbing the whole training set",
}
ABOUT_FGSM = (2, 3, 4)
# Quantiles 0.975 of Student's t by degrees of freedom.
T_975 = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
Z_975 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Estimate:
    """A difference or ratio over seeds, its 95% interval, and the two means as text."""

    value: float
    low: float
    high: float
    seeds: int
    means: str


def verdict(estimate: Estimate | None, least: float, most: float) -> str:
    """Holds if the whole interval is within [least, most], does not hold if it is all outside, else undecided."""
    if estimate is None:
        return UNDECIDED
    if least <= estimate.low and estimate.high <= most:
        return HOLDS
    if estimate.high < least or estimate.low > most:
        return FAILS
    return UNDECIDED


def difference(first: pd.DataFrame, second: pd.DataFrame) -> Estimate | None:
    """Accuracy of `first` minus that of `second` in points, over the seeds that both have; None if there are none.

    With three or more seeds the interval is Student's, of the differences per seed. With fewer the spread over seeds is
    unknown: the interval covers the choice of test images only, and is too narrow.
    """
    first_means, second_means = (part.groupby("seed")[["accuracy", "images"]].mean() for part in (first, second))
    seeds = sorted(set(first_means.index) & set(second_means.index))
    if not seeds:
        return None
    differences = [100 * float(first_means.loc[s, "accuracy"] - second_means.loc[s, "accuracy"]) for s in seeds]
    if len(seeds) > 2:
        half = t_quantile(len(seeds) - 1) * stdev(differences) / sqrt(len(seeds))
    else:
        shares = [
            (float(part.loc[s, "accuracy"]), float(part.loc[s, "images"]))
            for part in (first_means, second_means)
            for s in seeds
        ]
        half = 100 * Z_975 * sqrt(sum(p * (1 - p) / count for p, count in shares)) / len(seeds)
    centre = mean(differences)
    means = " against ".join(
        f"{100 * float(part.loc[seeds, 'accuracy'].mean()):.2f}%" for part in (first_means, second_means)
    )
    return Estimate(centre, centre - half, centre + half, len(seeds), means)


def ratio_of_seconds(first: pd.DataFrame, second: pd.DataFrame) -> Estimate | None:
    """Training seconds of `first` divided by those of `second`, per seed and machine; the interval is the range."""
    keys = ["seed", "machine"]
    both = (
        first.groupby(keys)["seconds"]
        .mean()
        .to_frame("first")
        .join(second.groupby(keys)["seconds"].mean(), how="inner")
    )
    if both.empty:
        return None
    ratios = both["first"] / both["seconds"]
    means = f"{both['first'].mean():.4g} s against {both['seconds'].mean():.4g} s"
    return Estimate(float(ratios.mean()), float(ratios.min()), float(ratios.max()), len(both), means)


def t_quantile(freedom: int) -> float:
    """Quantile 0.975 of Student's t; accurate to 0.3% above nine degrees of freedom."""
    return T_975.get(freedom) or Z_975 + 2.4 / freedom + 3.0 / freedom**2


def claims(frame: pd.DataFrame, chosen: Mapping[str, Recipe], test: str) -> pd.DataFrame:
    """Every comparison behind the five claims, for each data set's chosen recipe: `COLUMNS`, a row a comparison.

    `frame`: `frames.figures.evaluated`. `what` names the comparison; `value` is in points of accuracy or a ratio
    (`unit`). Claims 2 to 4 are about FGSM and are judged only by runs trained with it; claim 2 only on data sets that
    the paper reports. Where full FGSM training is not robust itself, being as robust as it means nothing: undecided.
    """
    parts: list[pd.DataFrame] = []
    for dataset, recipe in chosen.items():
        rows = of_recipe(tested_with(frame, test), dataset, recipe)
        for panel in dict.fromkeys(rows["panel"]):
            parts.append(_of_panel(dataset, panel, rows[rows["panel"] == panel]))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
    table.loc[table["what"].str.startswith("all "), "panel"] = ""  # the same in every panel
    table = table.drop_duplicates(["claim", "dataset", "panel", "what"])
    robust = set(table.loc[(table["claim"] == 4) & (table["verdict"] == HOLDS), "dataset"])
    vacuous = (table["claim"] == 3) & table["what"].str.contains("minus all") & ~table["dataset"].isin(robust)
    table.loc[vacuous & (table["verdict"] == HOLDS), "verdict"] = UNDECIDED
    return table.sort_values("claim", kind="stable", ignore_index=True)


def summary(comparisons: pd.DataFrame) -> pd.DataFrame:
    """One verdict per claim and data set: it holds if all of its comparisons do, and fails if one of them fails."""
    rows = []
    for claim, statement in STATEMENTS.items():
        for dataset, part in comparisons[comparisons["claim"] == claim].groupby("dataset", sort=True):
            verdicts = set(part["verdict"])
            overall = FAILS if FAILS in verdicts else UNDECIDED if UNDECIDED in verdicts else HOLDS
            rows.append((claim, statement, dataset, overall))
    return pd.DataFrame(rows, columns=["claim", "statement", "dataset", "verdict"])


def deciding(comparisons: pd.DataFrame, claim: int) -> str:
    """The comparison that decides a claim, in one line: of those with its verdict, the largest difference or ratio.

    `comparisons`: those of one data set. Empty if the claim was not judged.
    """
    part = comparisons[comparisons["claim"] == claim]
    if part.empty:
        return ""
    verdicts = set(part["verdict"])
    overall = next(word for word in (FAILS, UNDECIDED, HOLDS) if word in verdicts)
    measured = part[(part["verdict"] == overall) & part["value"].notna()]
    if measured.empty:
        return f"{part[part['verdict'] == overall]['what'].iloc[0]}: not measured"
    row = measured.iloc[int(measured["value"].astype(float).abs().to_numpy().argmax())]
    what = _thousands(f"{row['what']} ({row['panel']})" if row["panel"] else str(row["what"]))
    seeds = "1 seed" if row["seeds"] == 1 else f"{row['seeds']} seeds"
    if row["unit"] == "ratio":
        return f"{what}: {row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f}) over {seeds}"
    return f"{what}: {difference_in_words(row['value'], row['low'], row['high'])} over {seeds}"


def better_than_random(pairs: pd.DataFrame) -> tuple[str, str]:
    """Of `against_uniform` the pair of most seeds: the verdict on picking by norm, and its numbers in a line."""
    best = pairs.iloc[int(pairs["seeds"].to_numpy().argmax())]
    judged = {"better": HOLDS, "worse": FAILS}.get(str(best["picking by norm is"]), UNDECIDED)
    seeds = "1 seed" if best["seeds"] == 1 else f"{best['seeds']} seeds"
    numbers = difference_in_words(best["difference"], best["low"], best["high"])
    return judged, f"{best['norm']}, n = {best['n']:,}: {numbers} over {seeds}"


def difference_in_words(value: float, low: float, high: float) -> str:
    """A difference of accuracies for people: `−9.5 points (−10.7 to −8.3)`."""
    return f"{value:+.1f} points ({low:+.1f} to {high:+.1f})".replace("-", "\u2212")


def _thousands(text: str) -> str:
    """The text with its numbers of four digits or more grouped by commas."""
    return re.sub(r"\b\d{4,}\b", lambda number: f"{int(number[0]):,}", text)


def _of_panel(dataset: str, panel: str, frame: pd.DataFrame) -> pd.DataFrame:
    clean = {str(n): part for n, part in frame[frame["epsilon"] == 0].groupby("n")}
    robust = {str(n): part for n, part in frame[_at_training_epsilon(frame)].groupby("n")}
    sampled = sorted(set(clean) - set(BASELINES), key=int)
    rows: list[tuple[object, ...]] = []

    def row(claim: int, what: str, estimate: Estimate | None, least: float, most: float, unit: str = "points") -> None:
        numbers = (None, None, None) if estimate is None else (estimate.value, estimate.low, estimate.high)
        means, seeds = ("not measured", 0) if estimate is None else (estimate.means, estimate.seeds)
        rows.append((claim, dataset, panel, what, *numbers, unit, means, seeds, verdict(estimate, least, most)))

    def minus(parts: Mapping[str, pd.DataFrame], first: str, second: str) -> Estimate | None:
        return difference(parts[first], parts[second]) if first in parts and second in parts else None

    for n in sampled:
        row(1, f"n = {n} minus n = 0, clean", minus(clean, n, "0"), -CLAIMED_POINTS, CLAIMED_POINTS)
    if "all" in clean:
        spec = spec_of(dataset)
        if spec is not None and spec.points_lost is not None:
            row(2, "n = 0 minus all, clean", minus(clean, "0", "all"), *spec.points_lost)
        row(4, "all minus n = 0, robust", minus(robust, "all", "0"), ROBUST, inf)
        for n in sampled:
            row(3, f"n = {n} minus all, robust", minus(robust, n, "all"), -COMPARABLE, inf)
            row(
                5,
                f"n = {n} relative to all, training time",
                ratio_of_seconds(clean[n], clean["all"]),
                0.0,
                1.0,
                "ratio",
            )
    for fewer, more in pairwise(sampled):
        row(3, f"n = {more} minus n = {fewer}, robust", minus(robust, more, fewer), 0.0, inf)
    table = pd.DataFrame(rows, columns=COLUMNS)
    table.loc[table["what"] == "n = 0 minus all, clean", "panel"] = ""
    of_fgsm = set(frame.loc[frame["n"] != "0", "attack"]) <= {"fgsm"}
    return table if of_fgsm else table[~table["claim"].isin(ABOUT_FGSM)]


def _at_training_epsilon(frame: pd.DataFrame) -> pd.Series:
    return (frame["epsilon"] - frame["training_epsilon"]).abs() < 1e-6


# --- What works -----------------------------------------------------------------------------------------------------


def _robust(frame: pd.DataFrame, dataset: str, recipe: Recipe, test: str) -> pd.DataFrame:
    """Accuracies of a recipe's runs at their training ε."""
    rows = of_recipe(tested_with(frame, test), dataset, recipe)
    return rows[_at_training_epsilon(rows)]


def against_all(frame: pd.DataFrame, dataset: str, recipe: Recipe, test: str, within: float = NEARLY) -> pd.DataFrame:
    """What each n loses against n = all: robust accuracy in points, paired by seed, and training time relative to it.

    Columns: norm, n, difference to all, low, high (95%), means, time relative to all, seeds, enough. `enough` is yes
    if the whole interval is at most `within` points below all, no if it is all below that, else undecided.
    """
    robust = _robust(frame, dataset, recipe, test)
    of_all = robust[robust["n"] == "all"]
    rows = []
    for (panel, position), part in robust[~robust["n"].isin(BASELINES)].groupby(["panel", "position"], sort=False):
        estimate = difference(part, of_all)
        if estimate is None:
            continue
        ratio = ratio_of_seconds(part, of_all)
        enough = ENOUGH[verdict(estimate, -within, inf)]
        cost = None if ratio is None else ratio.value
        rows.append(
            (panel, position, estimate.value, estimate.low, estimate.high, estimate.means, cost, estimate.seeds, enough)
        )
    columns = ["norm", "n", "difference to all", "low", "high", "means", "time relative to all", "seeds", "enough"]
    return pd.DataFrame(rows, columns=columns).sort_values(["norm", "n"], ignore_index=True)


def smallest_enough(losses: pd.DataFrame, within: float = NEARLY) -> str:
    """For each norm of an `against_all` frame the smallest n that loses at most `within` points on average, as text."""
    parts = []
    for norm, part in losses.groupby("norm", sort=True):
        enough = part[part["difference to all"] >= -within]
        parts.append(f"{norm}: " + (f"n = {enough['n'].iloc[0]:,}" if len(enough) else "none of those trained"))
    return "; ".join(parts)


def against_uniform(frame: pd.DataFrame, dataset: str, recipe: Recipe, test: str) -> pd.DataFrame:
    """Robust accuracy of picking by norm (or the recipe's score) minus that of picking at random, in points.

    Runs are paired by seed and n. Columns: norm, n, difference, low, high (95%), means, seeds, and whether picking by
    norm is better, worse or undecided.
    """
    robust = _robust(frame, dataset, recipe, test)
    robust = robust[~robust["n"].isin(BASELINES)]
    rows = []
    for power in sorted(set(robust["norm_power"]) - {0.0}):
        for n in sorted(set(robust["n"]), key=int):
            same = robust[robust["n"] == n]
            estimate = difference(same[same["norm_power"] == power], same[same["norm_power"] == 0])
            if estimate is not None:
                result = "better" if estimate.low > 0 else "worse" if estimate.high < 0 else UNDECIDED
                rows.append(
                    (
                        norm_name(power, recipe.score),
                        int(n),
                        estimate.value,
                        estimate.low,
                        estimate.high,
                        estimate.means,
                        estimate.seeds,
                        result,
                    )
                )
    return pd.DataFrame(
        rows, columns=["norm", "n", "difference", "low", "high", "means", "seeds", "picking by norm is"]
    )
